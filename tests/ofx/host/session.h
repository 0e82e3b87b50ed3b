// The plug-ins of a loaded binary, their descriptions, and the instances in the project.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "effect.h"
#include "personality.h"

class Session {
public:
    ~Session();

    // Opens the binary and loads every plug-in in it. JSON of them. Throws std::runtime_error.
    std::string load(const std::string &path, const Personality &personality);
    // Destroys what is left, unloads and closes.
    std::string unload();
    // A description, made when it is first asked for; JSON of the statuses, properties, clips and parameters.
    std::string describe(const std::string &plugin, const std::string &context);
    using Texts = std::map<std::string, std::string>;
    // Values are set before the plug-in hears of the instance, as when a project is opened.
    std::string create(const std::string &name, const std::string &plugin, const std::string &context,
                       const Texts &values, const Texts &keywords);
    std::string destroy(const std::string &name);
    // The main entry with a name and a handle of the caller's choosing: what no sane host does.
    OfxStatus raw(const std::string &plugin, const std::string &action, Effect *effect);

    Effect &instance(const std::string &name) const;
    std::map<std::string, std::string> persistent_messages() const;
    const Personality &personality() const { return personality_; }

private:
    struct Plugin {
        OfxPlugin *plugin = nullptr;
        OfxStatus loaded = kOfxStatFailed, described = kOfxStatFailed;
        std::unique_ptr<Effect> description;
        std::map<std::string, std::unique_ptr<Effect>> in_context;
    };

    Plugin &find(const std::string &identifier);
    Effect &description(Plugin &plugin, const std::string &context, OfxStatus &status);
    void bury_effect(std::unique_ptr<Effect> effect);

    Personality personality_;
    std::unique_ptr<PropertySet> host_properties_;
    void *library_ = nullptr;
    std::string bundle_;
    std::vector<Plugin> plugins_;
    std::map<std::string, std::unique_ptr<Effect>> instances_;
    // Their handles stay known, so that a late use of one is told instead of being undefined.
    std::vector<std::unique_ptr<Effect>> graves_;
};
