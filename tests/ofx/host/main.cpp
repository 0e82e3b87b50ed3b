// A small OFX host that is told what to do, line by line, on standard input.
//
// A command is a line `verb key=value …`, values percent-encoded; the answer is one line of JSON: "ok", "result" or "error", and what
// happened on the way: "crimes", "messages", "progress", "persistent" (messages that stay, by instance), "children" (living),
// and how many "files" and "threads" the process has.

#include <algorithm>
#include <atomic>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "json.h"
#include "process.h"
#include "render.h"
#include "session.h"
#include "suites.h"

namespace {

using Arguments = std::map<std::string, std::string>;

std::string decoded(const std::string &text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            plain += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

class Command {
public:
    explicit Command(const std::string &line) {
        std::istringstream in(line);
        in >> verb;
        for (std::string word; in >> word;) {
            const auto sign = word.find('=');
            if (sign == std::string::npos) throw std::invalid_argument("no value in " + word);
            arguments_[word.substr(0, sign)] = decoded(word.substr(sign + 1));
        }
    }

    std::string text(const std::string &key, const std::string &otherwise = "") const {
        const auto found = arguments_.find(key);
        return found == arguments_.end() ? otherwise : found->second;
    }
    double real(const std::string &key, double otherwise) const { return has(key) ? std::stod(text(key)) : otherwise; }
    long whole(const std::string &key, long otherwise) const { return has(key) ? std::stol(text(key)) : otherwise; }
    bool has(const std::string &key) const { return arguments_.count(key) != 0; }

    std::vector<std::string> list(const std::string &key) const {
        std::vector<std::string> words;
        std::istringstream in(text(key));
        for (std::string word; std::getline(in, word, ',');) words.push_back(word);
        return words;
    }
    std::vector<double> reals(const std::string &key) const {
        std::vector<double> values;
        for (const std::string &word : list(key)) values.push_back(std::stod(word));
        return values;
    }
    std::optional<Rect> rect(const std::string &key) const {
        if (!has(key)) return std::nullopt;
        const auto corners = reals(key);
        if (corners.size() != 4) throw std::invalid_argument(key + " has four corners");
        return Rect{int(corners[0]), int(corners[1]), int(corners[2]), int(corners[3])};
    }
    // The arguments whose names begin so, without the beginning; of an empty one all.
    Arguments with(const std::string &prefix) const {
        Arguments some;
        for (const auto &[key, value] : arguments_)
            if (key.rfind(prefix, 0) == 0) some[key.substr(prefix.size())] = value;
        return some;
    }

    std::string verb;

private:
    Arguments arguments_;
};

Layout layout_of(const Command &command, const std::string &depth, const std::string &components) {
    Layout layout;
    layout.depth = command.has("depth") ? "OfxBitDepth" + command.text("depth") : depth;
    layout.components = command.has("components") ? "OfxImageComponent" + command.text("components") : components;
    layout.padding = int(command.whole("padding", 0));
    layout.top_down = command.whole("top_down", 0) != 0;
    layout.shift = int(command.whole("shift", 0));
    return layout;
}

RenderOrder order_of(const Command &command) {
    RenderOrder order;
    order.time = command.real("time", timeline_time());
    if (const auto scale = command.reals("scale"); !scale.empty()) {
        order.scale[0] = scale.front();
        order.scale[1] = scale.back();
    }
    order.window = command.rect("window");
    order.bounds = command.rect("bounds");
    order.layout = layout_of(command, "", "");
    order.abort_after = command.whole("abort_after", -1);
    order.abort_seconds = command.real("abort_seconds", -1);
    order.interactive = command.whole("interactive", 0) != 0;
    order.draft = command.whole("draft", 0) != 0;
    order.sequence = command.whole("sequence", 1) != 0;
    order.force = command.whole("force", 0) != 0;
    order.loose = command.whole("loose", 0) != 0;
    order.without_data = command.whole("without_data", 0) != 0;
    order.out = command.text("out");
    return order;
}

Feed feed_of(const Command &command) {
    Feed feed;
    const std::string kind = command.text("kind", "formula");
    if (kind == "formula") feed.kind = Feed::Kind::formula;
    else if (kind == "files") feed.kind = Feed::Kind::files;
    else if (kind != "nothing") throw std::invalid_argument("a clip has a formula, files or nothing");
    feed.path = command.text("path");
    if (const auto region = command.reals("region"); region.size() == 4) feed.region = {region[0], region[1], region[2], region[3]};
    else if (feed.kind != Feed::Kind::nothing) throw std::invalid_argument("a clip has a region of four corners");
    feed.first = command.real("first", 1);
    feed.last = command.real("last", 100);
    feed.pixel_aspect = command.real("aspect", 1);
    feed.frame_rate = command.real("fps", 24);
    feed.layout = layout_of(command, "OfxBitDepthFloat", "OfxImageComponentRGBA");
    return feed;
}

std::string changed(Effect &effect, OfxStatus status) {
    bool rerender = false;
    const auto names = effect.take_changes(rerender);
    return json::Object().add("status", status).add("changed", json::texts(names)).add("rerender", rerender).str();
}

std::string set(Effect &effect, const Command &command) {
    Parameter *parameter = effect.parameters.find(command.text("param"));
    if (!parameter) throw std::invalid_argument("no parameter " + command.text("param"));
    if (command.has("key")) parameter->set_key(command.real("key", 0), parameter->parse(command.text("value")));
    else if (parameter->has_value()) parameter->set(parameter->parse(command.text("value")));
    effect.note_change(*parameter);
    const std::string reason = "OfxChange" + command.text("reason", "UserEdited");
    if (command.whole("silent", 0)) return changed(effect, kOfxStatOK);
    const double scale = command.real("scale", 1);
    return changed(effect, effect.tell_changed("OfxTypeParameter", parameter->name, reason, timeline_time(), scale));
}

std::string connect(Effect &effect, const Command &command) {
    Clip *clip = effect.clip(command.text("clip", "Source"));
    if (!clip) throw std::invalid_argument("no clip " + command.text("clip", "Source"));
    clip->connect(feed_of(command));
    const OfxStatus status = effect.tell_changed("OfxTypeClip", clip->name, "OfxChangeUserEdited", timeline_time());
    clip_preferences(effect);
    return changed(effect, status);
}

std::string run(Session &session, const Command &command);

// Several threads that render at once: thread i of instance i, all of them the same times, each beginning with another. The main
// thread meanwhile does again and again what `meanwhile` says.
std::string threads(Session &session, const Command &command) {
    const auto names = command.list("instances");
    const auto times = command.reals("times");
    const int count = int(command.whole("count", 2)), rounds = int(command.whole("rounds", 1));
    if (names.empty() || times.empty()) throw std::invalid_argument("instances and times, separated by commas");
    for (const std::string &name : names) clip_preferences(session.instance(name));
    const SeveralThreads several;
    std::vector<std::string> told(count);
    std::vector<std::thread> running;
    for (int i = 0; i < count; ++i)
        running.emplace_back([&, i] {
            json::Array results;
            try {
                for (size_t turn = 0; turn < times.size() * rounds; ++turn) {
                    RenderOrder order = order_of(command);
                    order.ask = false;
                    order.time = times[(turn + i) % times.size()];
                    if (!order.out.empty()) order.out += '.' + std::to_string(i) + '.' + std::to_string(int(order.time)) + ".raw";
                    results.add(render(session.instance(names[i % names.size()]), order));
                }
            } catch (const std::exception &error) {
                results.add(json::Object().add("error", json::text(error.what())).str());
            }
            told[i] = results.str();
        });
    std::atomic<bool> done{false};
    std::thread waiting([&] {
        for (std::thread &one : running) one.join();
        done = true;
    });
    while (command.has("meanwhile") && !done) run(session, Command(command.text("meanwhile")));
    waiting.join();
    json::Array all;
    for (const std::string &one : told) all.add(one);
    return all.str();
}

std::string values(const Effect &effect) {
    json::Object all;
    for (const auto &parameter : effect.parameters.all) {
        if (!parameter->has_value()) continue;
        const PropertySet &set = *parameter->properties;
        all.add(parameter->name, json::Object().add("value", parameter->value_json())
            .add("persistent", set.integer("OfxParamPropPersistant") != 0).add("enabled", set.integer("OfxParamPropEnabled") != 0)
            .add("secret", set.integer("OfxParamPropSecret") != 0).str());
    }
    return all.str();
}

std::string region(Effect &effect, const Command &command) {
    const RenderOrder order = order_of(command);
    OfxRectD asked{};
    const OfxStatus status = region_of_definition(effect, order.time, order.scale, asked);
    return json::Object().add("status", status)
        .add("region", json::numbers(std::vector<double>{asked.x1, asked.y1, asked.x2, asked.y2})).str();
}

std::string simple(Effect &effect, const std::string &action) {
    return json::Object().add("status", effect.call(action, nullptr)).str();
}

std::string calls() {
    json::Object all;
    for (const auto &[name, count] : watch::take_calls()) all.add(name, count);
    return all.str();
}

std::string run(Session &session, const Command &command) {
    const auto instance = [&]() -> Effect & { return session.instance(command.text("instance", "vdp")); };
    const std::map<std::string, std::function<std::string()>> verbs = {
        {"load", [&] { return session.load(command.text("path"), personality_of(command.text("host", "plain"), command.with("host."))); }},
        {"unload", [&] { return session.unload(); }},
        {"describe", [&] {
            const std::string context = command.text("context");
            return session.describe(command.text("plugin"), context.empty() ? "" : "OfxImageEffectContext" + context);
        }},
        {"create", [&] {
            return session.create(command.text("instance", "vdp"), command.text("plugin"),
                                  "OfxImageEffectContext" + command.text("context", "Filter"), command.with("value."), command.with(""));
        }},
        {"destroy", [&] { return session.destroy(command.text("instance", "vdp")); }},
        {"set", [&] { return set(instance(), command); }},
        {"values", [&] { return values(instance()); }},
        {"parameters", [&] { return instance().parameters.json(true); }},
        {"connect", [&] { return connect(instance(), command); }},
        {"render", [&] { return render(instance(), order_of(command)); }},
        {"threads", [&] { return threads(session, command); }},
        {"region", [&] { return region(instance(), command); }},
        {"preferences", [&] { return clip_preferences(instance()); }},
        {"domain", [&] { return time_domain(instance()); }},
        {"action", [&] { return simple(instance(), command.text("name")); }},
        {"raw", [&] {
            Effect *effect = command.has("instance") ? &instance() : nullptr;
            return json::Object().add("status", session.raw(command.text("plugin"), command.text("name"), effect)).str();
        }},
        {"fail", [&] {
            watch::function(command.text("function"))
                .fail(int(command.whole("status", 1)), command.whole("after", 0), command.whole("count", 1));
            return std::string("{}");
        }},
        {"calls", [&] { return calls(); }},
        {"cancel_progress", [&] { cancel_progress_after(command.whole("after", -1)); return std::string("{}"); }},
        {"during_progress", [&] {
            const Command nested(command.text("command"));
            during_progress(command.whole("update", 1), [&session, nested] { run(session, nested); });
            return std::string("{}");
        }},
        {"timeline", [&] {
            set_timeline(command.real("time", 1), command.real("first", 1), command.real("last", 100));
            return std::string("{}");
        }},
        {"signal", [&] { set_disposition(command.text("name"), command.text("as")); return std::string("{}"); }},
        {"nothing", [] { return std::string("{}"); }},
    };
    const auto found = verbs.find(command.verb);
    if (found == verbs.end()) throw std::invalid_argument("no command " + command.verb);
    const std::string told = found->second();
    if (command.verb != "fail") watch::clear_failures();
    return told;
}

std::string answer(Session &session, const std::string &line) {
    json::Object told;
    try {
        told.add("result", run(session, Command(line))).add("ok", true);
    } catch (const std::exception &error) {
        told.add("error", json::text(error.what())).add("ok", false);
    }
    json::Array messages, progresses;
    json::Object persistent;
    for (const Message &message : take_messages())
        messages.add(json::Object().add("kind", json::text(message.kind)).add("type", json::text(message.type))
            .add("identifier", json::text(message.identifier)).add("text", json::text(message.text)).str());
    for (const Progress &progress : take_progress())
        progresses.add(json::Object().add("labels", json::texts(progress.labels)).add("updates", progress.updates)
            .add("last", progress.last).str());
    for (const auto &[name, text] : session.persistent_messages()) persistent.add(name, json::text(text));
    json::Array living;
    for (const int child : children()) living.add(std::to_string(child));
    told.add("files", count_of("fd")).add("threads", count_of("task"));
    return told.add("messages", messages.str()).add("progress", progresses.str()).add("persistent", persistent.str())
        .add("children", living.str()).add("crimes", json::texts(watch::take_crimes())).str();
}

}  // namespace

int main() {
    Session session;
    for (std::string line; std::getline(std::cin, line);) {
        if (line == "quit") break;
        std::cout << answer(session, line) << std::endl;
    }
    return 0;
}
