#include "parameters.h"

#include <algorithm>
#include <cstdarg>
#include <set>
#include <stdexcept>

#include "effect.h"
#include "json.h"
#include "watch.h"

namespace {

constexpr unsigned kParameter = 0x70617261, kSet = 0x73657473;

const std::set<std::string> kTypes = {
    "OfxParamTypeInteger", "OfxParamTypeDouble", "OfxParamTypeBoolean", "OfxParamTypeChoice",
    "OfxParamTypeString", "OfxParamTypePushButton", "OfxParamTypeGroup", "OfxParamTypePage",
};

bool printable(const std::string &text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return (c >= ' ' && c <= '~') || c == '\n'; });
}

}  // namespace

Parameter::Parameter(ParameterSet &owner, const std::string &name, const std::string &type)
    : name(name), type(type), properties(std::make_unique<PropertySet>("param:" + type)), owner(owner),
      magic_(kParameter) {
    properties->put("OfxPropName", name);
    properties->put("OfxParamPropType", type);
    properties->put("OfxPropLabel", name);
}

Parameter::Parameter(ParameterSet &owner, const Parameter &description)
    : Parameter(owner, description.name, description.type) {
    properties->copy_from(*description.properties);
    Value first;
    if (kind() == Kind::integer) first.integer = properties->integer("OfxParamPropDefault");
    if (kind() == Kind::real) first.real = properties->real("OfxParamPropDefault");
    if (kind() == Kind::text) first.text = properties->string("OfxParamPropDefault");
    set(first);
}

Parameter *Parameter::of(OfxParamHandle handle) {
    auto *parameter = reinterpret_cast<Parameter *>(handle);
    if (parameter && parameter->magic_ == kParameter && parameter->alive) return parameter;
    watch::crime(parameter && parameter->magic_ == kParameter ? "dead handle" : "handle", "of a parameter");
    return nullptr;
}

Parameter::Kind Parameter::kind() const {
    for (const char *whole : {"OfxParamTypeInteger", "OfxParamTypeBoolean", "OfxParamTypeChoice"})
        if (type == whole) return Kind::integer;
    if (type == "OfxParamTypeDouble") return Kind::real;
    if (type == "OfxParamTypeString") return Kind::text;
    return Kind::none;
}

Value Parameter::parse(const std::string &value) const {
    Value parsed;
    if (type == "OfxParamTypeChoice") {
        // By the option's text or by its number, as people and scripts do.
        const auto &options = properties->strings("OfxParamPropChoiceOption");
        const auto found = std::find(options.begin(), options.end(), value);
        parsed.integer = found == options.end() ? std::stoi(value) : static_cast<int>(found - options.begin());
    } else if (kind() == Kind::integer) {
        parsed.integer = std::stoi(value);
    } else if (kind() == Kind::real) {
        parsed.real = std::stod(value);
    } else if (kind() == Kind::text) {
        parsed.text = value;
    } else {
        throw std::invalid_argument(name + " has no value");
    }
    return parsed;
}

void Parameter::set(const Value &value) {
    integer_.store(value.integer, std::memory_order_relaxed);
    real_.store(value.real, std::memory_order_relaxed);
    texts_.push_back(value.text);
    text_.store(&texts_.back(), std::memory_order_release);
}

Value Parameter::at(double time) const {
    Value now{integer_.load(std::memory_order_relaxed), real_.load(std::memory_order_relaxed), ""};
    if (const std::string *text = text_.load(std::memory_order_acquire)) now.text = *text;
    if (keys.empty()) return now;
    const auto after = keys.upper_bound(time);
    if (after == keys.begin()) return after->second;
    const auto before = std::prev(after);
    now = before->second;
    if (after != keys.end() && kind() == Kind::real) {
        const double part = (time - before->first) / (after->first - before->first);
        now.real += part * (after->second.real - before->second.real);
    }
    return now;
}

std::string Parameter::value_json(double time) const {
    const Value value = at(time);
    switch (kind()) {
    case Kind::integer: return std::to_string(value.integer);
    case Kind::real: return json::number(value.real);
    case Kind::text: return json::text(value.text);
    case Kind::none: break;
    }
    return "null";
}

ParameterSet::ParameterSet(Effect &owner)
    : owner(owner), properties(std::make_unique<PropertySet>("parameters")), magic_(kSet) {}

ParameterSet::ParameterSet(Effect &owner, const ParameterSet &description) : ParameterSet(owner) {
    properties->copy_from(*description.properties);
    for (const auto &one : description.all) all.push_back(std::make_unique<Parameter>(*this, *one));
}

ParameterSet::~ParameterSet() { magic_ = 0; }

ParameterSet *ParameterSet::of(OfxParamSetHandle handle) {
    auto *set = reinterpret_cast<ParameterSet *>(handle);
    if (set && set->magic_ == kSet && set->owner.alive) return set;
    watch::crime(set && set->magic_ == kSet ? "dead handle" : "handle", "of a set of parameters");
    return nullptr;
}

Parameter *ParameterSet::find(const std::string &name) {
    for (const auto &one : all)
        if (one->name == name) return one.get();
    return nullptr;
}

bool Parameter::has_option(int index) const {
    return index >= 0 && index < int(properties->strings("OfxParamPropChoiceOption").size());
}

void Parameter::inspect() const {
    const PropertySet &set = *properties;
    for (const char *label : {"OfxPropLabel", "OfxPropShortLabel", "OfxPropLongLabel", "OfxParamPropHint"})
        if (!printable(set.string(label))) watch::crime("label", std::string(label) + " of " + name + " is not ASCII");
    const auto within = [&](double least, double value, double most) {
        if (!(least <= value && value <= most))
            watch::crime("parameter", "the default of " + name + " lies outside of its limits");
    };
    if (type == "OfxParamTypeInteger")
        within(set.integer("OfxParamPropMin"), set.integer("OfxParamPropDefault"), set.integer("OfxParamPropMax"));
    if (type == "OfxParamTypeDouble")
        within(set.real("OfxParamPropMin"), set.real("OfxParamPropDefault"), set.real("OfxParamPropMax"));
    if (type != "OfxParamTypeChoice") return;
    const auto &options = set.strings("OfxParamPropChoiceOption");
    if (!has_option(set.integer("OfxParamPropDefault")))
        watch::crime("parameter", "the default of " + name + " is none of its options");
    for (const std::string &option : options)
        if (!printable(option)) watch::crime("label", "option " + option + " of " + name + " is not ASCII");
    if (std::set<std::string>(options.begin(), options.end()).size() != options.size())
        watch::crime("parameter", name + " has the same option twice");
}

void ParameterSet::inspect() {
    const auto is = [&](const std::string &name, const char *type) {
        const Parameter *found = find(name);
        return found && found->type == type;
    };
    for (const std::string &page : properties->strings("OfxPluginPropParamPageOrder"))
        if (!is(page, "OfxParamTypePage"))
            watch::crime("parameter", "the page order names " + page + ", which is no page");
    for (const auto &one : all) {
        one->inspect();
        const std::string &parent = one->properties->string("OfxParamPropParent");
        if (!parent.empty() && !is(parent, "OfxParamTypeGroup"))
            watch::crime("parameter", one->name + " has the parent " + parent + ", which is no group");
        if (one->type != "OfxParamTypePage") continue;
        for (const std::string &child : one->properties->strings("OfxParamPropPageChild"))
            if (!find(child) && child.rfind("OfxParamPageSkip", 0) != 0)
                watch::crime("parameter", "page " + one->name + " has the child " + child + ", which is not there");
    }
}

std::string ParameterSet::json(bool values) const {
    json::Array array;
    for (const auto &one : all) {
        json::Object object;
        object.add("name", json::text(one->name)).add("type", json::text(one->type));
        if (values) object.add("value", one->value_json());
        array.add(object.add("properties", one->properties->json()).str());
    }
    return array.str();
}

// The functions of the parameter suite.
struct ParameterCalls {
    static OfxStatus define(OfxParamSetHandle handle, const char *type, const char *name,
                            OfxPropertySetHandle *properties) {
        HOST_CALL("paramDefine");
        ParameterSet *set = ParameterSet::of(handle);
        if (!set) return kOfxStatErrBadHandle;
        const std::string action = watch::current() ? watch::current()->name : "";
        const bool describing = action == "OfxActionDescribe" || action == "OfxImageEffectActionDescribeInContext";
        if (set->owner.is_instance || !describing)
            watch::crime("forbidden call", "paramDefine outside of the describing actions");
        if (!name || !*name || set->find(name)) {
            watch::crime("parameter", "defined twice or without a name: " + std::string(name ? name : "(null)"));
            return kOfxStatErrExists;
        }
        if (!type || !kTypes.count(type)) {
            watch::crime("parameter type", std::string(type ? type : "(null)") + " is not to be counted on in a host");
            return kOfxStatErrUnsupported;
        }
        set->all.push_back(std::make_unique<Parameter>(*set, name, type));
        if (properties) *properties = set->all.back()->properties->handle();
        return kOfxStatOK;
    }

    static OfxStatus get_handle(OfxParamSetHandle handle, const char *name, OfxParamHandle *parameter,
                                OfxPropertySetHandle *properties) {
        HOST_CALL("paramGetHandle");
        ParameterSet *set = ParameterSet::of(handle);
        if (!set) return kOfxStatErrBadHandle;
        if (!set->owner.is_instance) watch::crime("forbidden call", "paramGetHandle of a description");
        Parameter *found = set->find(name ? name : "");
        if (!found) {
            watch::crime("unknown parameter", name ? name : "(null)");
            return kOfxStatErrUnknown;
        }
        if (parameter) *parameter = found->handle();
        if (properties) *properties = found->properties->handle();
        return kOfxStatOK;
    }

    static OfxStatus set_properties(OfxParamSetHandle handle, OfxPropertySetHandle *properties) {
        HOST_CALL("paramSetGetPropertySet");
        ParameterSet *set = ParameterSet::of(handle);
        if (set) *properties = set->properties->handle();
        return set ? kOfxStatOK : kOfxStatErrBadHandle;
    }

    static OfxStatus get_properties(OfxParamHandle handle, OfxPropertySetHandle *properties) {
        HOST_CALL("paramGetPropertySet");
        Parameter *parameter = Parameter::of(handle);
        if (parameter) *properties = parameter->properties->handle();
        return parameter ? kOfxStatOK : kOfxStatErrBadHandle;
    }

    static OfxStatus give(OfxParamHandle handle, const double *time, va_list out) {
        Parameter *parameter = Parameter::of(handle);
        if (!parameter) return kOfxStatErrBadHandle;
        const Value value = parameter->at(time ? *time : 0);
        switch (parameter->kind()) {
        case Parameter::Kind::integer: *va_arg(out, int *) = value.integer; return kOfxStatOK;
        case Parameter::Kind::real: *va_arg(out, double *) = value.real; return kOfxStatOK;
        case Parameter::Kind::text: {
            const std::string *text = parameter->text_.load(std::memory_order_acquire);
            *va_arg(out, char **) = const_cast<char *>(text->c_str());
            return kOfxStatOK;
        }
        case Parameter::Kind::none: break;
        }
        watch::crime("parameter type", parameter->name + " has no value to get");
        return kOfxStatErrUnsupported;
    }

    static OfxStatus get_value(OfxParamHandle handle, ...) {
        HOST_CALL("paramGetValue");
        va_list out;
        va_start(out, handle);
        const OfxStatus status = give(handle, nullptr, out);
        va_end(out);
        return status;
    }

    static OfxStatus get_value_at(OfxParamHandle handle, OfxTime time, ...) {
        HOST_CALL("paramGetValueAtTime");
        va_list out;
        va_start(out, time);
        const OfxStatus status = give(handle, &time, out);
        va_end(out);
        return status;
    }

    static OfxStatus take(OfxParamHandle handle, va_list in) {
        const watch::Action *action = watch::current();
        Parameter *parameter = Parameter::of(handle);
        if (!parameter) return kOfxStatErrBadHandle;
        if (!action || action->name != "OfxActionInstanceChanged") {
            watch::crime("forbidden call", "paramSetValue of " + parameter->name + " outside of InstanceChanged");
            return kOfxStatFailed;
        }
        Value value;
        switch (parameter->kind()) {
        case Parameter::Kind::integer: value.integer = va_arg(in, int); break;
        case Parameter::Kind::real: value.real = va_arg(in, double); break;
        case Parameter::Kind::text:
            if (const char *text = va_arg(in, const char *)) value.text = text;
            else watch::crime("parameter value", parameter->name + " is set to a null string");
            break;
        case Parameter::Kind::none:
            watch::crime("parameter type", parameter->name + " has no value to set");
            return kOfxStatErrUnsupported;
        }
        if (parameter->type == "OfxParamTypeChoice" && !parameter->has_option(value.integer)) {
            watch::crime("parameter value", parameter->name + " is set to an option that is not there");
            return kOfxStatErrBadIndex;
        }
        parameter->set(value);
        parameter->owner.owner.was_set_by_plugin(*parameter);
        return kOfxStatOK;
    }

    static OfxStatus set_value(OfxParamHandle handle, ...) {
        HOST_CALL("paramSetValue");
        va_list in;
        va_start(in, handle);
        const OfxStatus status = take(handle, in);
        va_end(in);
        return status;
    }

    static OfxStatus set_value_at(OfxParamHandle handle, OfxTime time, ...) {
        HOST_CALL("paramSetValueAtTime");
        va_list in;
        va_start(in, time);
        const OfxStatus status = take(handle, in);
        va_end(in);
        return status;
    }

    // Derivatives and integrals of values that are never curves here.
    static OfxStatus derivative(OfxParamHandle, OfxTime, ...) { return kOfxStatErrUnsupported; }
    static OfxStatus integral(OfxParamHandle, OfxTime, OfxTime, ...) { return kOfxStatErrUnsupported; }

    static OfxStatus number_of_keys(OfxParamHandle handle, unsigned int *count) {
        HOST_CALL("paramGetNumKeys");
        Parameter *parameter = Parameter::of(handle);
        if (parameter) *count = static_cast<unsigned int>(parameter->keys.size());
        return parameter ? kOfxStatOK : kOfxStatErrBadHandle;
    }

    static OfxStatus key_time(OfxParamHandle handle, unsigned int index, OfxTime *time) {
        HOST_CALL("paramGetKeyTime");
        Parameter *parameter = Parameter::of(handle);
        if (!parameter) return kOfxStatErrBadHandle;
        if (index >= parameter->keys.size()) return kOfxStatErrBadIndex;
        *time = std::next(parameter->keys.begin(), index)->first;
        return kOfxStatOK;
    }

    static OfxStatus key_index(OfxParamHandle, OfxTime, int, int *) { return kOfxStatErrUnsupported; }
    static OfxStatus delete_key(OfxParamHandle, OfxTime) { return kOfxStatErrUnsupported; }
    static OfxStatus delete_keys(OfxParamHandle) { return kOfxStatErrUnsupported; }
    static OfxStatus copy(OfxParamHandle, OfxParamHandle, OfxTime, const OfxRangeD *) { return kOfxStatErrUnsupported; }

    static OfxStatus edit_begin(OfxParamSetHandle handle, const char *) {
        HOST_CALL("paramEditBegin");
        ParameterSet *set = ParameterSet::of(handle);
        if (set) ++set->editing;
        return set ? kOfxStatOK : kOfxStatErrBadHandle;
    }

    static OfxStatus edit_end(OfxParamSetHandle handle) {
        HOST_CALL("paramEditEnd");
        ParameterSet *set = ParameterSet::of(handle);
        if (!set) return kOfxStatErrBadHandle;
        if (--set->editing < 0) watch::crime("forbidden call", "paramEditEnd without paramEditBegin");
        return kOfxStatOK;
    }
};

const OfxParameterSuiteV1 parameter_suite = {
    ParameterCalls::define, ParameterCalls::get_handle, ParameterCalls::set_properties, ParameterCalls::get_properties,
    ParameterCalls::get_value, ParameterCalls::get_value_at, ParameterCalls::derivative, ParameterCalls::integral,
    ParameterCalls::set_value, ParameterCalls::set_value_at, ParameterCalls::number_of_keys, ParameterCalls::key_time,
    ParameterCalls::key_index, ParameterCalls::delete_key, ParameterCalls::delete_keys, ParameterCalls::copy,
    ParameterCalls::edit_begin, ParameterCalls::edit_end,
};
