#include "properties.h"

#include <mutex>
#include <stdexcept>

#include "json.h"
#include "watch.h"

namespace {

constexpr unsigned kMagic = 0x70726f70;

const char *type_name(Type type) {
    switch (type) {
    case Type::pointer: return "pointer";
    case Type::string: return "string";
    case Type::real: return "double";
    case Type::integer: return "int";
    }
    return "";
}

template <class Value> struct Of;
template <> struct Of<void *> {
    static constexpr Type type = Type::pointer;
    static auto &values(Property &property) { return property.pointers; }
};
template <> struct Of<std::string> {
    static constexpr Type type = Type::string;
    static auto &values(Property &property) { return property.strings; }
};
template <> struct Of<double> {
    static constexpr Type type = Type::real;
    static auto &values(Property &property) { return property.reals; }
};
template <> struct Of<int> {
    static constexpr Type type = Type::integer;
    static auto &values(Property &property) { return property.integers; }
};

}  // namespace

int Property::size() const {
    return static_cast<int>(pointers.size() + strings.size() + reals.size() + integers.size());
}

void Property::resize(int count) {
    switch (type) {
    case Type::pointer: pointers.resize(count); break;
    case Type::string: strings.resize(count); break;
    case Type::real: reals.resize(count); break;
    case Type::integer: integers.resize(count); break;
    }
}

PropertySet::PropertySet(const std::string &kind) : magic_(kMagic), kind_(kind), properties_(properties_of(kind)) {}
PropertySet::~PropertySet() { magic_ = 0; }

PropertySet *PropertySet::of(OfxPropertySetHandle handle, const std::string &asked) {
    auto *set = reinterpret_cast<PropertySet *>(handle);
    if (!set) {
        watch::crime("handle", "a null property set is asked for " + asked);
        return nullptr;
    }
    if (set->magic_ != kMagic) {
        watch::crime("handle", "something that is no property set is asked for " + asked);
        return nullptr;
    }
    if (!set->alive_) {
        watch::crime("dead handle", "a property set of kind " + set->kind_ + " is asked for " + asked);
        return nullptr;
    }
    return set;
}

Property &PropertySet::at(const std::string &name) {
    if (Property *found = find(name)) return *found;
    throw std::logic_error("no property " + name + " in the host's own set of kind " + kind_);
}

const Property &PropertySet::at(const std::string &name) const { return const_cast<PropertySet *>(this)->at(name); }

Property *PropertySet::find(const std::string &name) {
    const auto found = properties_.find(name);
    return found == properties_.end() ? nullptr : &found->second;
}

const Property *PropertySet::find(const std::string &name) const { return const_cast<PropertySet *>(this)->find(name); }

void PropertySet::put(const std::string &name, void *value) { at(name).pointers = {value}; }
void PropertySet::put(const std::string &name, std::vector<std::string> values) {
    if (at(name).type != Type::string) throw std::logic_error(name + " is no string");
    at(name).strings = std::move(values);
}
void PropertySet::put(const std::string &name, std::vector<int> values) {
    if (at(name).type != Type::integer) throw std::logic_error(name + " is no int");
    at(name).integers = std::move(values);
}
void PropertySet::put(const std::string &name, std::vector<double> values) {
    if (at(name).type != Type::real) throw std::logic_error(name + " is no double");
    at(name).reals = std::move(values);
}

void PropertySet::define(const std::string &name, Type type, int dimension, Write write) {
    Property property{type, dimension, write};
    property.resize(dimension);
    properties_.emplace(name, property);
}

void PropertySet::copy_from(const PropertySet &other) {
    for (const auto &[name, property] : other.properties_) {
        Property *mine = find(name);
        if (!mine) continue;
        const Write write = mine->write;
        *mine = property;
        mine->write = write;
    }
}

std::string PropertySet::json() const {
    json::Object object;
    for (const auto &[name, property] : properties_) {
        if (!property.present) continue;
        switch (property.type) {
        case Type::pointer: break;
        case Type::string: object.add(name, json::texts(property.strings)); break;
        case Type::real: object.add(name, json::numbers(property.reals)); break;
        case Type::integer: object.add(name, json::numbers(property.integers)); break;
        }
    }
    return object.str();
}

void bury(std::unique_ptr<PropertySet> set) {
    static std::mutex lock;
    static std::vector<std::unique_ptr<PropertySet>> graves;
    if (!set) return;
    set->die();
    const std::lock_guard<std::mutex> hold(lock);
    graves.push_back(std::move(set));
}

namespace {

bool may_write(const PropertySet &set, const Property &property) {
    const watch::Action *action = watch::current();
    const std::string name = action ? action->name : "";
    if (property.write == Write::describing)
        return name == "OfxActionDescribe" || name == "OfxImageEffectActionDescribeInContext";
    const bool of_a_parameter = set.kind().rfind("param:", 0) == 0;
    return property.write == Write::always && !(of_a_parameter && name == "OfxImageEffectActionRender");
}

// The property that is meant, or null and a status. `wanted`: the type that the function deals in.
Property *look_up(OfxPropertySetHandle handle, const char *name, const Type *wanted, bool write, OfxStatus &status) {
    PropertySet *set = PropertySet::of(handle, name ? name : "(null)");
    status = kOfxStatErrBadHandle;
    if (!set) return nullptr;
    status = kOfxStatErrUnknown;
    Property *property = name ? set->find(name) : nullptr;
    if (!property) {
        watch::crime("unknown property", std::string(name ? name : "(null)") + " of " + set->kind());
        return nullptr;
    }
    if (!property->present) return nullptr;
    status = kOfxStatErrValue;
    if (wanted && *wanted != property->type) {
        const std::string types = std::string(type_name(property->type)) + ", not " + type_name(*wanted);
        watch::crime("property type", std::string(name) + " of " + set->kind() + " is " + types);
        return nullptr;
    }
    if (write && !may_write(*set, *property)) {
        watch::crime("read-only property", std::string(name) + " of " + set->kind() + " is set");
        return nullptr;
    }
    status = kOfxStatOK;
    return property;
}

OfxStatus bad_index(const char *name, int index, int size) {
    watch::crime("property index", std::string(name) + " has " + std::to_string(size) + " values, index " +
                                       std::to_string(index) + " or a count past it was used");
    return kOfxStatErrBadIndex;
}

template <class Value> OfxStatus set_one(OfxPropertySetHandle handle, const char *name, int index, const Value &value) {
    OfxStatus status;
    Property *property = look_up(handle, name, &Of<Value>::type, true, status);
    if (!property) return status;
    const int size = property->size();
    // A property of any number of values grows by one at a time.
    const int most = property->dimension ? property->dimension : size + 1;
    if (index < 0 || index >= most) return bad_index(name, index, size);
    if (index == size) property->resize(size + 1);
    Of<Value>::values(*property)[index] = value;
    property->set = true;
    return kOfxStatOK;
}

template <class Value, class Given>
OfxStatus set_many(OfxPropertySetHandle handle, const char *name, int count, const Given *given) {
    OfxStatus status;
    Property *property = look_up(handle, name, &Of<Value>::type, true, status);
    if (!property) return status;
    if (count < 0 || !given || (property->dimension && count != property->dimension))
        return bad_index(name, count, property->size());
    Of<Value>::values(*property).assign(given, given + count);
    property->set = true;
    return kOfxStatOK;
}

template <class Value> OfxStatus get_one(OfxPropertySetHandle handle, const char *name, int index, Value *&value) {
    OfxStatus status;
    Property *property = look_up(handle, name, &Of<Value>::type, false, status);
    if (!property) return status;
    if (index < 0 || index >= property->size()) return bad_index(name, index, property->size());
    value = &Of<Value>::values(*property)[index];
    return kOfxStatOK;
}

template <class Value, class Asked>
OfxStatus get_many(OfxPropertySetHandle handle, const char *name, int count, Asked *asked, Asked (*give)(Value &)) {
    OfxStatus status;
    Property *property = look_up(handle, name, &Of<Value>::type, false, status);
    if (!property) return status;
    if (count < 0 || count > property->size() || !asked) return bad_index(name, count, property->size());
    for (int i = 0; i < count; ++i) asked[i] = give(Of<Value>::values(*property)[i]);
    return kOfxStatOK;
}

template <class Value> Value same(Value &value) { return value; }
char *characters(std::string &value) { return value.data(); }

OfxStatus set_pointer(OfxPropertySetHandle handle, const char *name, int index, void *value) {
    HOST_CALL("propSetPointer");
    return set_one<void *>(handle, name, index, value);
}

OfxStatus set_string(OfxPropertySetHandle handle, const char *name, int index, const char *value) {
    HOST_CALL("propSetString");
    if (!value) {
        watch::crime("property value", std::string(name) + " is set to a null string");
        return kOfxStatErrValue;
    }
    return set_one<std::string>(handle, name, index, value);
}

OfxStatus set_double(OfxPropertySetHandle handle, const char *name, int index, double value) {
    HOST_CALL("propSetDouble");
    return set_one<double>(handle, name, index, value);
}

OfxStatus set_int(OfxPropertySetHandle handle, const char *name, int index, int value) {
    HOST_CALL("propSetInt");
    return set_one<int>(handle, name, index, value);
}

OfxStatus set_pointers(OfxPropertySetHandle handle, const char *name, int count, void *const *values) {
    HOST_CALL("propSetPointerN");
    return set_many<void *>(handle, name, count, values);
}

OfxStatus set_strings(OfxPropertySetHandle handle, const char *name, int count, const char *const *values) {
    HOST_CALL("propSetStringN");
    return set_many<std::string>(handle, name, count, values);
}

OfxStatus set_doubles(OfxPropertySetHandle handle, const char *name, int count, const double *values) {
    HOST_CALL("propSetDoubleN");
    return set_many<double>(handle, name, count, values);
}

OfxStatus set_ints(OfxPropertySetHandle handle, const char *name, int count, const int *values) {
    HOST_CALL("propSetIntN");
    return set_many<int>(handle, name, count, values);
}

OfxStatus get_pointer(OfxPropertySetHandle handle, const char *name, int index, void **value) {
    HOST_CALL("propGetPointer");
    void **found = nullptr;
    const OfxStatus status = get_one<void *>(handle, name, index, found);
    if (found) *value = *found;
    return status;
}

OfxStatus get_string(OfxPropertySetHandle handle, const char *name, int index, char **value) {
    HOST_CALL("propGetString");
    std::string *found = nullptr;
    const OfxStatus status = get_one<std::string>(handle, name, index, found);
    if (found) *value = found->data();
    return status;
}

OfxStatus get_double(OfxPropertySetHandle handle, const char *name, int index, double *value) {
    HOST_CALL("propGetDouble");
    double *found = nullptr;
    const OfxStatus status = get_one<double>(handle, name, index, found);
    if (found) *value = *found;
    return status;
}

OfxStatus get_int(OfxPropertySetHandle handle, const char *name, int index, int *value) {
    HOST_CALL("propGetInt");
    int *found = nullptr;
    const OfxStatus status = get_one<int>(handle, name, index, found);
    if (found) *value = *found;
    return status;
}

OfxStatus get_pointers(OfxPropertySetHandle handle, const char *name, int count, void **values) {
    HOST_CALL("propGetPointerN");
    return get_many<void *, void *>(handle, name, count, values, same);
}

OfxStatus get_strings(OfxPropertySetHandle handle, const char *name, int count, char **values) {
    HOST_CALL("propGetStringN");
    return get_many<std::string, char *>(handle, name, count, values, characters);
}

OfxStatus get_doubles(OfxPropertySetHandle handle, const char *name, int count, double *values) {
    HOST_CALL("propGetDoubleN");
    return get_many<double, double>(handle, name, count, values, same);
}

OfxStatus get_ints(OfxPropertySetHandle handle, const char *name, int count, int *values) {
    HOST_CALL("propGetIntN");
    return get_many<int, int>(handle, name, count, values, same);
}

OfxStatus reset(OfxPropertySetHandle handle, const char *name) {
    HOST_CALL("propReset");
    OfxStatus status;
    Property *property = look_up(handle, name, nullptr, true, status);
    if (!property) return status;
    PropertySet fresh(PropertySet::of(handle, name)->kind());
    if (const Property *first = fresh.find(name)) *property = *first;
    return kOfxStatOK;
}

OfxStatus dimension(OfxPropertySetHandle handle, const char *name, int *count) {
    HOST_CALL("propGetDimension");
    OfxStatus status;
    const Property *property = look_up(handle, name, nullptr, false, status);
    if (property) *count = property->size();
    return status;
}

}  // namespace

const OfxPropertySuiteV1 property_suite = {
    set_pointer, set_string, set_double, set_int, set_pointers, set_strings, set_doubles, set_ints, get_pointer,
    get_string, get_double, get_int, get_pointers, get_strings, get_doubles, get_ints, reset, dimension,
};
