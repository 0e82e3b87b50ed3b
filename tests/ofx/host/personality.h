// What kind of host this is: the same plug-in meets hosts that have all, and hosts that have hardly anything.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "properties.h"

struct Personality {
    std::string name = "plain";
    std::string host_name = "org.vdp.tests.host";
    std::vector<std::string> contexts = {"OfxImageEffectContextFilter", "OfxImageEffectContextGeneral",
                                         "OfxImageEffectContextGenerator"};
    std::vector<std::string> depths = {"OfxBitDepthByte", "OfxBitDepthShort", "OfxBitDepthFloat"};
    std::vector<std::string> components = {"OfxImageComponentRGBA", "OfxImageComponentRGB", "OfxImageComponentAlpha"};
    // "OfxMessageSuite 2" and so on.
    std::set<std::string> suites;
    bool null_messages = false;      // the message suite's version 2 has null for the persistent messages
    bool multiple_resolutions = true;
    bool tiles = true;
    bool recursive_changes = true;   // a value set by the plug-in tells it so at once, inside its own call
    bool bare_images = false;        // images lack what is not needed to reach their pixels
    bool whole_images = true;        // false: an image has only the region that was asked for
    bool bare_host = false;          // the host's own properties are a name and no more
    bool background = false;

    bool has(const std::string &suite, int version) const {
        return suites.count(suite + ' ' + std::to_string(version)) != 0;
    }
};

// "plain", "nuke", "resolve", "natron", "minimal". Throws std::invalid_argument.
// `changes` overrides by key: without (suites, separated by commas), depths, components, null_messages, recursive, …
Personality personality_of(const std::string &name, const std::map<std::string, std::string> &changes);

std::unique_ptr<PropertySet> host_properties(const Personality &personality);
