// A small OFX host that is told what to do, line by line, on standard input.
//
// The answer to a command is one line of JSON: "ok", "result" or "error", and what happened on the way: "crimes",
// "messages", "progress", "persistent" (messages that stay, by instance), "children" (living), and how many "files" and
// "threads" the process has.

#include <algorithm>
#include <atomic>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "command.h"
#include "json.h"
#include "process.h"
#include "questions.h"
#include "render.h"
#include "session.h"
#include "suites.h"

namespace {

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

// Several threads that render at once: thread i of instance i, all of them the same times, each beginning with another.
// The main thread meanwhile does again and again what `meanwhile` says.
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
                    const std::string name = std::to_string(i) + '.' + std::to_string(int(order.time)) + ".raw";
                    if (!order.out.empty()) order.out += '.' + name;
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
        const auto is = [&set](const char *property) { return set.integer(property) != 0; };
        json::Object told;
        told.add("value", parameter->value_json()).add("persistent", is("OfxParamPropPersistant"));
        told.add("enabled", is("OfxParamPropEnabled")).add("secret", is("OfxParamPropSecret"));
        all.add(parameter->name, told.str());
    }
    return all.str();
}

std::string render_one(Effect &effect, const Command &command) { return render(effect, order_of(command)); }

std::string act(Effect &effect, const Command &command) {
    return json::Object().add("status", effect.call(command.text("name"), nullptr)).str();
}

std::string calls() {
    json::Object all;
    for (const auto &[name, count] : watch::take_calls()) all.add(name, count);
    return all.str();
}

const std::string kNothing = "{}";

std::string load(Session &session, const Command &command) {
    const Personality personality = personality_of(command.text("host", "plain"), command.with("host."));
    return session.load(command.text("path"), personality);
}

std::string describe(Session &session, const Command &command) {
    const std::string context = command.text("context");
    return session.describe(command.text("plugin"), context.empty() ? "" : "OfxImageEffectContext" + context);
}

std::string create(Session &session, const Command &command) {
    const std::string context = "OfxImageEffectContext" + command.text("context", "Filter");
    return session.create(command.text("instance", "vdp"), command.text("plugin"), context, command.with("value."),
                          command.with(""));
}

std::string destroy(Session &session, const Command &command) {
    return session.destroy(command.text("instance", "vdp"));
}

std::string raw(Session &session, const Command &command) {
    Effect *effect = command.has("instance") ? &session.instance(command.text("instance")) : nullptr;
    const OfxStatus status = session.raw(command.text("plugin"), command.text("name"), effect);
    return json::Object().add("status", status).str();
}

std::string fail(Session &, const Command &command) {
    const int status = int(command.whole("status", 1));
    watch::function(command.text("function")).fail(status, command.whole("after", 0), command.whole("count", 1));
    return kNothing;
}

std::string during(Session &session, const Command &command) {
    const Command nested(command.text("command"));
    during_progress(command.whole("update", 1), [&session, nested] { run(session, nested); });
    return kNothing;
}

std::string timeline(Session &, const Command &command) {
    set_timeline(command.real("time", 1), command.real("first", 1), command.real("last", 100));
    return kNothing;
}

std::string cancel(Session &, const Command &command) {
    cancel_progress_after(command.whole("after", -1));
    return kNothing;
}

std::string signal(Session &, const Command &command) {
    set_disposition(command.text("name"), command.text("as"));
    return kNothing;
}

using Verb = std::function<std::string(Session &, const Command &)>;
using OfInstance = std::function<std::string(Effect &, const Command &)>;

Verb of_instance(const OfInstance &work) {
    return [work](Session &session, const Command &command) {
        return work(session.instance(command.text("instance", "vdp")), command);
    };
}

const std::map<std::string, Verb> &verbs() {
    static const std::map<std::string, Verb> all = {
        {"load", load},
        {"unload", [](Session &session, const Command &) { return session.unload(); }},
        {"describe", describe},
        {"create", create},
        {"destroy", destroy},
        {"set", of_instance(set)},
        {"values", of_instance([](Effect &effect, const Command &) { return values(effect); })},
        {"connect", of_instance(connect)},
        {"render", of_instance(render_one)},
        {"threads", threads},
        {"action", of_instance(act)},
        {"raw", raw},
        {"fail", fail},
        {"calls", [](Session &, const Command &) { return calls(); }},
        {"cancel_progress", cancel},
        {"during_progress", during},
        {"timeline", timeline},
        {"signal", signal},
        {"nothing", [](Session &, const Command &) { return kNothing; }},
    };
    return all;
}

std::string run(Session &session, const Command &command) {
    const auto found = verbs().find(command.verb);
    if (found == verbs().end()) throw std::invalid_argument("no command " + command.verb);
    const std::string told = found->second(session, command);
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
