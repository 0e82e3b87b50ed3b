// The host: its suites, its property sets, its images and messages, without statuses to forget and handles to leak.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "ofx.h"

namespace vdp {

// What the host gave at Load. Suites that a host may lack are null.
struct Host {
    OfxHost *self = nullptr;
    const OfxPropertySuiteV1 *property = nullptr;
    const OfxImageEffectSuiteV1 *effect = nullptr;
    const OfxParameterSuiteV1 *parameter = nullptr;
    const OfxMessageSuiteV2 *message = nullptr;     // of version 1: `message` alone may be called
    bool message_persists = false;
    const OfxProgressSuiteV1 *progress1 = nullptr;
    const OfxProgressSuiteV2 *progress2 = nullptr;

    // False where the host lacks what no effect can do without.
    bool fetch_suites();
    bool is_background() const;
    // Whether images may differ in size and origin.
    bool multiple_resolutions() const;
};

Host &host();

// A status that says no becomes an exception, which the entry point turns into a status again.
class HostError : public std::exception {
public:
    explicit HostError(OfxStatus status) : status_(status) {}
    OfxStatus status() const { return status_; }
    const char *what() const noexcept override { return "the host refused a call"; }

private:
    OfxStatus status_;
};

void require(OfxStatus status);

// Not owned: the host's, for as long as its object lives.
class Properties {
public:
    explicit Properties(OfxPropertySetHandle handle = nullptr) : handle_(handle) {}

    // Hosts refuse what they do not know: a property that cannot be set is one that the host does without.
    void set(const char *name, const char *value, int index = 0) const;
    void set(const char *name, const std::string &value, int index = 0) const { set(name, value.c_str(), index); }
    void set(const char *name, int value, int index = 0) const;
    void set(const char *name, double value, int index = 0) const;
    void set(const char *name, void *value, int index = 0) const;
    void set(const char *name, const OfxRectD &value) const;

    int integer(const char *name, int otherwise) const;
    double real(const char *name, double otherwise) const;
    std::string text(const char *name, const char *otherwise = "") const;
    void *pointer(const char *name) const;
    int count(const char *name) const;
    std::string text_at(const char *name, int index) const;
    std::optional<std::array<double, 2>> pair(const char *name) const;
    std::optional<OfxRectI> rectangle(const char *name) const;

    OfxPropertySetHandle handle() const { return handle_; }

private:
    OfxPropertySetHandle handle_;
};

// One image of a clip; released when it goes.
class Image {
public:
    Image() = default;
    Image(OfxImageClipHandle clip, OfxTime time);
    ~Image();
    Image(Image &&other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
    Image &operator=(Image &&) = delete;

    // A clip that is not connected, or has no picture at that time.
    bool empty() const { return handle_ == nullptr; }
    Properties properties() const { return Properties(handle_); }

private:
    OfxPropertySetHandle handle_ = nullptr;
};

// A progress bar for as long as it lives, in whichever version the host has; of no effect where it has none.
class Progress {
public:
    Progress(OfxImageEffectHandle effect, const char *label);
    ~Progress();
    Progress(const Progress &) = delete;
    Progress &operator=(const Progress &) = delete;

    bool open() const { return open_; }
    // False: the artist pressed Cancel.
    bool update(double fraction);

private:
    OfxImageEffectHandle effect_;
    bool open_ = false;
};

}  // namespace vdp
