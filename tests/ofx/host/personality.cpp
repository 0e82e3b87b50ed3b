#include "personality.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace {

const std::set<std::string> kAllSuites = {
    "OfxPropertySuite 1", "OfxImageEffectSuite 1", "OfxParameterSuite 1", "OfxMessageSuite 1", "OfxMessageSuite 2",
    "OfxProgressSuite 1", "OfxProgressSuite 2", "OfxTimeLineSuite 1", "OfxMemorySuite 1", "OfxMultiThreadSuite 1",
};

std::vector<std::string> split(const std::string &list, const std::string &prefix = "") {
    std::vector<std::string> words;
    std::istringstream in(list);
    for (std::string word; std::getline(in, word, ',');) words.push_back(prefix + word);
    return words;
}

// As Nuke does it: float only, bounds and rows of its own making, no second version of the progress suite.
void become_nuke(Personality &host) {
    host.host_name = "uk.co.thefoundry.nuke";
    host.depths = {"OfxBitDepthFloat"};
    host.suites.erase("OfxProgressSuite 2");
    host.whole_images = false;
}

// As Resolve does it: whole RGBA frames of float, images that say little of themselves.
void become_resolve(Personality &host) {
    host.host_name = "DaVinciResolve";
    host.contexts = {"OfxImageEffectContextFilter", "OfxImageEffectContextGeneral", "OfxImageEffectContextGenerator"};
    host.depths = {"OfxBitDepthFloat"};
    host.components = {"OfxImageComponentRGBA"};
    host.multiple_resolutions = host.tiles = false;
    host.recursive_changes = false;
    host.bare_images = true;
    host.suites.erase("OfxProgressSuite 1");
    host.suites.erase("OfxProgressSuite 2");
    host.suites.erase("OfxMessageSuite 1");
}

// What no host can be without.
void become_minimal(Personality &host) {
    host.host_name = "org.vdp.tests.minimal";
    host.contexts = {"OfxImageEffectContextFilter"};
    host.suites = {"OfxPropertySuite 1", "OfxImageEffectSuite 1", "OfxParameterSuite 1"};
    host.depths = {"OfxBitDepthFloat"};
    host.multiple_resolutions = host.tiles = false;
    host.recursive_changes = false;
    host.bare_images = host.bare_host = true;
}

void change(Personality &host, const std::string &key, const std::string &value) {
    const bool on = value == "1";
    if (key == "without") {
        for (const std::string &suite : split(value)) {
            const auto before = host.suites.size();
            for (auto it = host.suites.begin(); it != host.suites.end();)
                it = it->rfind(suite, 0) == 0 ? host.suites.erase(it) : std::next(it);
            if (host.suites.size() == before) throw std::invalid_argument("no suite " + suite + " to leave out");
        }
    } else if (key == "depths") {
        host.depths = split(value, "OfxBitDepth");
    } else if (key == "components") {
        host.components = split(value, "OfxImageComponent");
    } else if (key == "contexts") {
        host.contexts = split(value, "OfxImageEffectContext");
    } else if (key == "null_messages") {
        host.null_messages = on;
    } else if (key == "recursive") {
        host.recursive_changes = on;
    } else if (key == "tiles") {
        host.tiles = on;
    } else if (key == "background") {
        host.background = on;
    } else {
        throw std::invalid_argument("no option " + key + " of a host");
    }
}

}  // namespace

Personality personality_of(const std::string &name, const std::map<std::string, std::string> &changes) {
    Personality host;
    host.name = name;
    host.suites = kAllSuites;
    if (name == "nuke") become_nuke(host);
    else if (name == "resolve") become_resolve(host);
    else if (name == "minimal") become_minimal(host);
    else if (name == "natron") host.host_name = "fr.inria.Natron";
    else if (name != "plain") throw std::invalid_argument("no host personality " + name);
    for (const auto &[key, value] : changes) change(host, key, value);
    return host;
}

std::unique_ptr<PropertySet> host_properties(const Personality &host) {
    auto set = std::make_unique<PropertySet>("host");
    set->put("OfxPropName", host.host_name);
    set->put("OfxPropLabel", host.name);
    set->put("OfxPropVersion", std::vector<int>{1, 2, 3});
    set->put("OfxPropVersionLabel", "1.2.3");
    set->put("OfxPropAPIVersion", std::vector<int>{1, 4});
    set->put("OfxImageEffectHostPropIsBackground", int(host.background));
    set->put("OfxImageEffectPropSupportsMultiResolution", int(host.multiple_resolutions));
    set->put("OfxImageEffectPropSupportsTiles", int(host.tiles));
    set->put("OfxImageEffectPropSupportedContexts", host.contexts);
    set->put("OfxImageEffectPropSupportedPixelDepths", host.depths);
    set->put("OfxImageEffectPropSupportedComponents", host.components);
    if (host.bare_host) {
        for (const auto &[name, property] : properties_of("host"))
            if (name != "OfxPropName" && name != "OfxPropType") set->leave_out(name);
    }
    return set;
}
