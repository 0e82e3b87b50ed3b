// Replies: JSON on one line. NaN and infinities are written as Python's reader takes them.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace json {

inline std::string text(const std::string &value) {
    std::string quoted = "\"";
    for (const unsigned char c : value) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += static_cast<char>(c);
        } else if (c < 0x20) {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", c);
            quoted += code;
        } else {
            quoted += static_cast<char>(c);
        }
    }
    return quoted + '"';
}

inline std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.17g", value);
    return digits;
}

class Array {
public:
    Array &add(const std::string &value) {
        inside_ += (inside_.empty() ? "" : ",") + value;
        return *this;
    }
    std::string str() const { return '[' + inside_ + ']'; }

private:
    std::string inside_;
};

template <class Values> std::string numbers(const Values &values) {
    Array array;
    for (const auto value : values) array.add(number(value));
    return array.str();
}

inline std::string texts(const std::vector<std::string> &values) {
    Array array;
    for (const auto &value : values) array.add(text(value));
    return array.str();
}

class Object {
public:
    // The value is JSON already.
    Object &add(const std::string &key, const std::string &value) {
        inside_ += (inside_.empty() ? "" : ",") + text(key) + ':' + value;
        return *this;
    }
    Object &add(const std::string &key, const char *value) { return add(key, std::string(value)); }
    Object &add(const std::string &key, double value) { return add(key, number(value)); }
    Object &add(const std::string &key, int value) { return add(key, std::to_string(value)); }
    Object &add(const std::string &key, long value) { return add(key, std::to_string(value)); }
    Object &add(const std::string &key, bool value) { return add(key, std::string(value ? "true" : "false")); }
    std::string str() const { return '{' + inside_ + '}'; }

private:
    std::string inside_;
};

}  // namespace json
