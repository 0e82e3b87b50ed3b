// The suites that are not of effects, parameters and properties, and the host as plug-ins get it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "abi.h"
#include "personality.h"

// What a plug-in told by the message suite. `kind`: "message", "persistent" or "clear".
struct Message {
    std::string kind, type, identifier, text;
};

std::vector<Message> take_messages();

// A run of progressStart to progressEnd.
struct Progress {
    std::vector<std::string> labels;
    long updates = 0;
    double last = 0;
    bool ended = false;
};

std::vector<Progress> take_progress();
// Updates after which the artist presses Cancel; negative: never.
void cancel_progress_after(long updates);
// What the host does within that update, once: a host that shows progress goes on with what its user does.
void during_progress(long update, std::function<void()> work);

void set_timeline(double time, double first, double last);
double timeline_time();

// Memory of the memory suite that was not given back.
long open_blocks();

// The host for setHost: one at a time in the process. `properties` has to outlive its use.
OfxHost *host_of(const Personality &personality, PropertySet &properties);
