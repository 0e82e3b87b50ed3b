// Property sets that know which properties an object of their kind has, of what type, and who may set them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "abi.h"

enum class Type { pointer, string, real, integer };
enum class Write { never, describing, always };

struct Property {
    Type type;
    int dimension;  // 0: any number of values
    Write write;
    bool present = true;  // false: the specification has it, this host does not
    bool set = false;     // by the plug-in
    std::vector<void *> pointers;
    std::vector<std::string> strings;
    std::vector<double> reals;
    std::vector<int> integers;

    int size() const;
    void resize(int count);
};

class PropertySet {
public:
    // `kind` is a key of the tables in property_tables.cpp, such as "image" or "in:OfxImageEffectActionRender".
    explicit PropertySet(const std::string &kind);
    ~PropertySet();
    PropertySet(const PropertySet &) = delete;
    PropertySet &operator=(const PropertySet &) = delete;

    OfxPropertySetHandle handle() { return reinterpret_cast<OfxPropertySetHandle>(this); }

    // Null, after a crime was recorded, where the handle is none, is not the host's, or is dead.
    static PropertySet *of(OfxPropertySetHandle handle, const std::string &asked);

    // By the host itself: of the table's type, or the host is wrong (std::logic_error).
    void put(const std::string &name, const std::string &value) { put(name, std::vector<std::string>{value}); }
    void put(const std::string &name, const char *value) { put(name, std::string(value)); }
    void put(const std::string &name, int value) { put(name, std::vector<int>{value}); }
    void put(const std::string &name, double value) { put(name, std::vector<double>{value}); }
    void put(const std::string &name, void *value);
    void put(const std::string &name, std::vector<std::string> values);
    void put(const std::string &name, std::vector<int> values);
    void put(const std::string &name, std::vector<double> values);
    // A property that only this set has, such as that of one clip.
    void define(const std::string &name, Type type, int dimension, Write write);
    void leave_out(const std::string &name) { at(name).present = false; }
    // All values, and what is left out, of another set of a kind with the same properties or more.
    void copy_from(const PropertySet &other);

    const std::string &string(const std::string &name, int index = 0) const { return at(name).strings.at(index); }
    const std::vector<std::string> &strings(const std::string &name) const { return at(name).strings; }
    int integer(const std::string &name, int index = 0) const { return at(name).integers.at(index); }
    double real(const std::string &name, int index = 0) const { return at(name).reals.at(index); }
    void *pointer(const std::string &name) const { return at(name).pointers.at(0); }
    const std::vector<double> &reals(const std::string &name) const { return at(name).reals; }
    bool has(const std::string &name) const { return properties_.count(name) != 0; }
    bool was_set(const std::string &name) const { return at(name).set; }
    const Property *find(const std::string &name) const;
    Property *find(const std::string &name);

    const std::string &kind() const { return kind_; }
    std::string json() const;

    // From now on every use of the handle is a crime.
    void die() { alive_ = false; }

private:
    Property &at(const std::string &name);
    const Property &at(const std::string &name) const;

    unsigned magic_;
    bool alive_ = true;
    std::string kind_;
    std::map<std::string, Property> properties_;
};

// A dead set whose memory stays, so that a late use of its handle is told instead of being undefined.
void bury(std::unique_ptr<PropertySet> set);

extern const OfxPropertySuiteV1 property_suite;

// The table of a kind: filled in by property_tables.cpp.
std::map<std::string, Property> properties_of(const std::string &kind);
