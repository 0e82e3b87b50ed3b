#include "session.h"

#include <dlfcn.h>
#include <stdexcept>
#include <utility>

#include "json.h"
#include "process.h"
#include "suites.h"

namespace {

// The bundle that a binary lies in, as BUNDLE/Contents/ARCHITECTURE/FILE; "" where it lies in none.
std::string bundle_of(const std::string &path) {
    const auto found = path.rfind(".ofx.bundle/Contents/");
    return found == std::string::npos ? "" : path.substr(0, found + 11);
}

std::string described(const Effect &effect) {
    json::Array clips;
    for (const auto &clip : effect.clips)
        clips.add(json::Object().add("name", json::text(clip->name)).add("properties", clip->properties->json()).str());
    return json::Object().add("properties", effect.properties->json()).add("clips", clips.str())
        .add("parameters", effect.parameters.json(false)).add("set", effect.parameters.properties->json()).str();
}

}  // namespace

Session::~Session() {
    if (library_) unload();
}

std::string Session::load(const std::string &path, const Personality &personality) {
    if (library_) throw std::runtime_error("something is loaded already");
    personality_ = personality;
    host_properties_ = host_properties(personality_);
    library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library_) throw std::runtime_error(std::string("dlopen: ") + dlerror());
    bundle_ = bundle_of(path);
    const auto count = reinterpret_cast<int (*)()>(dlsym(library_, "OfxGetNumberOfPlugins"));
    const auto get = reinterpret_cast<OfxPlugin *(*)(int)>(dlsym(library_, "OfxGetPlugin"));
    if (!count || !get) throw std::runtime_error("the entry points of OFX are not exported by " + path);
    if (const auto set_host = reinterpret_cast<OfxStatus (*)(const OfxHost *)>(dlsym(library_, "OfxSetHost")))
        set_host(host_of(personality_, *host_properties_));
    json::Array told;
    for (int i = 0; i < count(); ++i) {
        Plugin made;
        made.plugin = get(i);
        if (!made.plugin || !made.plugin->setHost || !made.plugin->mainEntry)
            throw std::runtime_error("a plug-in without entries");
        made.plugin->setHost(host_of(personality_, *host_properties_));
        watch::Action action;
        action.name = "OfxActionLoad";
        made.loaded = enter_plugin(*made.plugin, action, nullptr, nullptr, nullptr);
        told.add(json::Object().add("identifier", json::text(made.plugin->pluginIdentifier))
            .add("api", json::text(made.plugin->pluginApi)).add("api_version", made.plugin->apiVersion)
            .add("major", int(made.plugin->pluginVersionMajor)).add("minor", int(made.plugin->pluginVersionMinor))
            .add("status", made.loaded).str());
        plugins_.push_back(std::move(made));
    }
    if (get(count()) || get(-1)) watch::crime("index", "OfxGetPlugin gives a plug-in for an index that is none");
    return json::Object().add("plugins", told.str()).str();
}

std::string Session::unload() {
    json::Array statuses;
    while (!instances_.empty()) destroy(instances_.begin()->first);
    for (Plugin &plugin : plugins_) {
        for (auto &[context, effect] : plugin.in_context) bury_effect(std::move(effect));
        if (plugin.description) bury_effect(std::move(plugin.description));
        watch::Action action;
        action.name = "OfxActionUnload";
        // A host does not unload what it failed to load.
        if (plugin.loaded == kOfxStatOK || plugin.loaded == kOfxStatReplyDefault)
            statuses.add(std::to_string(enter_plugin(*plugin.plugin, action, nullptr, nullptr, nullptr)));
    }
    plugins_.clear();
    if (library_) dlclose(std::exchange(library_, nullptr));
    bury(std::move(host_properties_));
    if (const long blocks = open_blocks()) watch::crime("leak", std::to_string(blocks) + " blocks of the memory suite");
    return json::Object().add("statuses", statuses.str()).str();
}

void Session::bury_effect(std::unique_ptr<Effect> effect) {
    if (effect->memory_blocks) watch::crime("leak", "image memory of an effect was not freed");
    effect->alive = false;
    effect->properties->die();
    effect->parameters.properties->die();
    for (const auto &parameter : effect->parameters.all) {
        parameter->alive = false;
        parameter->properties->die();
    }
    for (const auto &clip : effect->clips) clip->properties->die();
    graves_.push_back(std::move(effect));
}

Session::Plugin &Session::find(const std::string &identifier) {
    for (Plugin &plugin : plugins_)
        if (identifier.empty() || identifier == plugin.plugin->pluginIdentifier) return plugin;
    throw std::invalid_argument("no plug-in " + identifier + " is loaded");
}

Effect &Session::description(Plugin &plugin, const std::string &context, OfxStatus &status) {
    if (!plugin.description) {
        plugin.description = std::make_unique<Effect>(*plugin.plugin, personality_, "");
        plugin.description->properties->put("OfxPluginPropFilePath", bundle_);
        plugin.described = plugin.description->call("OfxActionDescribe", nullptr);
        plugin.description->parameters.inspect();
    }
    status = plugin.described;
    if (context.empty()) return *plugin.description;
    auto &made = plugin.in_context[context];
    if (!made) {
        made = std::make_unique<Effect>(*plugin.plugin, personality_, context);
        made->properties->copy_from(*plugin.description->properties);
        made->properties->put("OfxImageEffectPropContext", context);
        auto in = std::make_unique<PropertySet>("in:OfxImageEffectActionDescribeInContext");
        in->put("OfxImageEffectPropContext", context);
        status = made->call("OfxImageEffectActionDescribeInContext", std::move(in));
        made->parameters.inspect();
    }
    return *made;
}

std::string Session::describe(const std::string &identifier, const std::string &context) {
    Plugin &plugin = find(identifier);
    OfxStatus status = kOfxStatOK;
    const Effect &effect = description(plugin, context, status);
    return json::Object().add("status", status).add("described", plugin.described).add("effect", described(effect))
        .str();
}

std::string Session::create(const std::string &name, const std::string &identifier, const std::string &context,
                            const Texts &values, const Texts &keywords) {
    if (instances_.count(name)) throw std::invalid_argument("there is an instance " + name);
    Plugin &plugin = find(identifier);
    OfxStatus status = kOfxStatOK;
    auto made = std::make_unique<Effect>(description(plugin, context, status));
    const auto keyword = [&](const char *key, double otherwise) {
        return keywords.count(key) ? std::stod(keywords.at(key)) : otherwise;
    };
    made->project_size[0] = keyword("width", 1920);
    made->project_size[1] = keyword("height", 1080);
    const std::vector<double> size(made->project_size, made->project_size + 2);
    for (const char *property : {"OfxImageEffectPropProjectSize", "OfxImageEffectPropProjectExtent"})
        made->properties->put(property, size);
    made->properties->put("OfxImageEffectPropFrameRate", keyword("fps", 24));
    made->properties->put("OfxPropIsInteractive", int(!personality_.background));
    made->properties->put("OfxImageEffectPropPluginHandle", static_cast<void *>(plugin.plugin));
    for (const auto &[parameter, value] : values) {
        Parameter *found = made->parameters.find(parameter);
        if (!found) throw std::invalid_argument("no parameter " + parameter);
        found->set(found->parse(value));
    }
    const OfxStatus created = made->call("OfxActionCreateInstance", nullptr);
    if (created == kOfxStatOK || created == kOfxStatReplyDefault) instances_[name] = std::move(made);
    else bury_effect(std::move(made));
    return json::Object().add("described", status).add("status", created).str();
}

std::string Session::destroy(const std::string &name) {
    instance(name);
    auto gone = std::move(instances_.at(name));
    instances_.erase(name);
    const OfxStatus status = gone->call("OfxActionDestroyInstance", nullptr);
    bury_effect(std::move(gone));
    return json::Object().add("status", status).str();
}

OfxStatus Session::raw(const std::string &identifier, const std::string &name, Effect *effect) {
    watch::Action action;
    action.name = name;
    action.effect = effect;
    return enter_plugin(*find(identifier).plugin, action, effect ? effect->handle() : nullptr, nullptr, nullptr);
}

Effect &Session::instance(const std::string &name) const {
    const auto found = instances_.find(name);
    if (found == instances_.end()) throw std::invalid_argument("no instance " + name);
    return *found->second;
}

std::map<std::string, std::string> Session::persistent_messages() const {
    std::map<std::string, std::string> all;
    for (const auto &[name, effect] : instances_)
        if (!effect->persistent_message.empty()) all[name] = effect->persistent_message;
    return all;
}
