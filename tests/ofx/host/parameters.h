// Parameters: descriptions, values and keys, and who may set them when.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "properties.h"

struct Effect;
class ParameterSet;

// One value of whatever type the parameter has: Boolean and Choice are integers.
struct Value {
    int integer = 0;
    double real = 0;
    std::string text;
};

class Parameter {
public:
    Parameter(ParameterSet &owner, const std::string &name, const std::string &type);
    // An instance's parameter, with the value that the description gives.
    Parameter(ParameterSet &owner, const Parameter &description);

    OfxParamHandle handle() { return reinterpret_cast<OfxParamHandle>(this); }
    static Parameter *of(OfxParamHandle handle);

    bool has_value() const { return kind() != Kind::none; }
    std::string value_json(double time = 0) const;
    // From a command: a number, or text. Throws std::invalid_argument.
    Value parse(const std::string &value) const;
    void set(const Value &value);
    void set_key(double time, const Value &value) { keys[time] = value; }
    Value at(double time) const;

    enum class Kind { none, integer, real, text };
    Kind kind() const;
    bool has_option(int index) const;
    // Crimes: what no host would show as it is meant, such as defaults out of range or labels that are not ASCII.
    void inspect() const;

    const std::string name, type;
    std::unique_ptr<PropertySet> properties;
    ParameterSet &owner;
    std::map<double, Value> keys;
    bool alive = true;

private:
    friend struct ParameterCalls;
    unsigned magic_;
    std::atomic<int> integer_{0};
    std::atomic<double> real_{0};
    // Every text that it ever had: a pointer to one that a plug-in was given stays good while another is set.
    std::deque<std::string> texts_;
    std::atomic<const std::string *> text_{nullptr};
};

class ParameterSet {
public:
    explicit ParameterSet(Effect &owner);
    ParameterSet(Effect &owner, const ParameterSet &description);
    ~ParameterSet();

    OfxParamSetHandle handle() { return reinterpret_cast<OfxParamSetHandle>(this); }
    static ParameterSet *of(OfxParamSetHandle handle);
    Parameter *find(const std::string &name);
    // The same of all of them, and parents that are no groups, and children of pages that are not there.
    void inspect();
    std::string json(bool values) const;

    Effect &owner;
    std::unique_ptr<PropertySet> properties;
    std::vector<std::unique_ptr<Parameter>> all;
    int editing = 0;

private:
    unsigned magic_;
};

extern const OfxParameterSuiteV1 parameter_suite;
