// A line of standard input, taken apart.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "images.h"
#include "render.h"

// `verb key=value …`, the values percent-encoded. Throws std::invalid_argument for what is none.
class Command {
public:
    explicit Command(const std::string &line);

    std::string text(const std::string &key, const std::string &otherwise = "") const;
    double real(const std::string &key, double otherwise) const;
    long whole(const std::string &key, long otherwise) const;
    bool flag(const std::string &key) const { return whole(key, 0) != 0; }
    bool has(const std::string &key) const { return arguments_.count(key) != 0; }
    // Separated by commas.
    std::vector<std::string> list(const std::string &key) const;
    std::vector<double> reals(const std::string &key) const;
    std::optional<Rect> rect(const std::string &key) const;
    // The arguments whose names begin so, without the beginning; of an empty one all.
    std::map<std::string, std::string> with(const std::string &prefix) const;

    std::string verb;

private:
    std::map<std::string, std::string> arguments_;
};

RenderOrder order_of(const Command &command);
Feed feed_of(const Command &command);
