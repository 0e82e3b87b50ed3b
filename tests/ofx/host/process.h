// The one way into the plug-in, and what it must leave as it was: the state of the host's process.
#pragma once

#include <string>
#include <vector>

#include "abi.h"
#include "watch.h"

// Calls the main entry in this action. Crimes: exceptions, statuses that are none, a process that is not as it was.
OfxStatus enter_plugin(OfxPlugin &plugin, watch::Action &action, const void *handle, OfxPropertySetHandle in,
                       OfxPropertySetHandle out);

// While one lives, several threads of the host are at work: whose doing a change of the process was cannot be told.
class SeveralThreads {
public:
    SeveralThreads();
    ~SeveralThreads();
    SeveralThreads(const SeveralThreads &) = delete;
    SeveralThreads &operator=(const SeveralThreads &) = delete;
};

// Process ids of the children that live.
std::vector<int> children();

// How many entries one of the host's own folders below /proc/self has: "fd" (open files) or "task" (threads).
int count_of(const std::string &folder);

// SIGCHLD and the like, as a host may have it. Throws std::invalid_argument.
void set_disposition(const std::string &signal, const std::string &disposition);
