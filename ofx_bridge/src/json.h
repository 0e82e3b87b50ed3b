// JSON as far as protocol.md needs it: one object a line, from a program that is trusted to mean well, not to be right.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vdp::json {

class Malformed : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A value as it was read. What is asked of a value of another kind is answered with `otherwise`, or nothing.
class Value {
public:
    enum class Kind { null, boolean, number, text, array, object };

    Kind kind() const { return kind_; }
    bool boolean(bool otherwise = false) const { return kind_ == Kind::boolean ? number_ != 0 : otherwise; }
    double number(double otherwise = 0) const { return kind_ == Kind::number ? number_ : otherwise; }
    // Rounded; `otherwise` also where an int cannot hold it.
    int integer(int otherwise = 0) const;
    const std::string &text() const { return text_; }
    const std::vector<Value> &items() const { return items_; }
    // The member of an object; null where there is none.
    const Value &operator[](std::string_view name) const;

private:
    friend class Reader;
    Kind kind_ = Kind::null;
    double number_ = 0;
    std::string text_;
    std::vector<Value> items_;
    std::vector<std::string> names_;
};

// Throws Malformed. Nesting is limited; of equal names the first counts.
Value parse(std::string_view text);

// An object under construction.
class Object {
public:
    Object &add(std::string_view name, std::string_view value);
    Object &add(std::string_view name, const char *value) { return add(name, std::string_view(value)); }
    Object &add(std::string_view name, double value);
    Object &add(std::string_view name, int value);
    Object &add(std::string_view name, bool value);
    Object &add(std::string_view name, const std::vector<int> &values);
    Object &add(std::string_view name, const std::vector<std::pair<int, int>> &values);
    std::string str() const { return '{' + inside_ + '}'; }

private:
    Object &put(std::string_view name, const std::string &value);
    std::string inside_;
};

}  // namespace vdp::json
