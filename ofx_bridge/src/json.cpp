#include "json.h"

#include <cmath>
#include <cstdint>
#include <cstdio>

namespace vdp::json {
namespace {

constexpr int kDeepest = 32;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

double power_of_ten(int exponent) {
    double power = 1;
    for (int i = 0; i < exponent; i++) power *= 10;
    return power;
}

void put_utf8(std::string &text, std::uint32_t code) {
    const auto put = [&text](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

std::string quoted(std::string_view value) {
    std::string text = "\"";
    for (const char c : value) {
        if (c == '"' || c == '\\') {
            text += '\\';
            text += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            text += code;
        } else {
            text += c;
        }
    }
    return text + '"';
}

}  // namespace

class Reader {
public:
    explicit Reader(std::string_view text) : text_(text) {}

    Value whole() {
        Value read = value(0);
        skip_space();
        if (at_ != text_.size()) fail("more after the end");
        return read;
    }

private:
    [[noreturn]] static void fail(const char *what) { throw Malformed(what); }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    void skip_space() {
        while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) at_++;
    }

    bool take(char c) {
        skip_space();
        if (peek() != c || at_ >= text_.size()) return false;
        at_++;
        return true;
    }

    void expect(char c) {
        if (!take(c)) fail("a sign is missing");
    }

    Value value(int depth) {
        if (depth > kDeepest) fail("nested too deep");
        skip_space();
        Value read;
        switch (peek()) {
        case '{': object(read, depth); break;
        case '[': array(read, depth); break;
        case '"':
            read.kind_ = Value::Kind::text;
            read.text_ = text();
            break;
        case 't': word("true", read, Value::Kind::boolean, 1); break;
        case 'f': word("false", read, Value::Kind::boolean, 0); break;
        case 'n': word("null", read, Value::Kind::null, 0); break;
        default:
            read.kind_ = Value::Kind::number;
            read.number_ = number();
        }
        return read;
    }

    void word(std::string_view expected, Value &read, Value::Kind kind, double value) {
        if (text_.substr(at_, expected.size()) != expected) fail("an unknown word");
        at_ += expected.size();
        read.kind_ = kind;
        read.number_ = value;
    }

    void array(Value &read, int depth) {
        read.kind_ = Value::Kind::array;
        expect('[');
        if (take(']')) return;
        do read.items_.push_back(value(depth + 1));
        while (take(','));
        expect(']');
    }

    void object(Value &read, int depth) {
        read.kind_ = Value::Kind::object;
        expect('{');
        if (take('}')) return;
        do {
            skip_space();
            read.names_.push_back(text());
            expect(':');
            read.items_.push_back(value(depth + 1));
        } while (take(','));
        expect('}');
    }

    std::string text() {
        if (peek() != '"') fail("text expected");
        at_++;
        std::string read;
        for (;;) {
            if (at_ >= text_.size()) fail("text without an end");
            const char c = text_[at_++];
            if (c == '"') return read;
            if (c == '\\')
                escaped(read);
            else
                read += c;
        }
    }

    void escaped(std::string &read) {
        const char c = peek();
        at_++;
        switch (c) {
        case '"': case '\\': case '/': read += c; return;
        case 'b': read += '\b'; return;
        case 'f': read += '\f'; return;
        case 'n': read += '\n'; return;
        case 'r': read += '\r'; return;
        case 't': read += '\t'; return;
        case 'u': put_utf8(read, code_point()); return;
        default: fail("an unknown escape");
        }
    }

    std::uint32_t code_point() {
        const std::uint32_t first = four_digits();
        if (first < 0xD800 || first > 0xDFFF) return first;
        // A character beyond 16 bits comes as two halves; half of one is no character.
        if (first > 0xDBFF || text_.substr(at_, 2) != "\\u") return 0xFFFD;
        at_ += 2;
        const std::uint32_t second = four_digits();
        if (second < 0xDC00 || second > 0xDFFF) return 0xFFFD;
        return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }

    std::uint32_t four_digits() {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; i++) {
            const char c = peek();
            at_++;
            if (is_digit(c)) code = code * 16 + static_cast<std::uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f') code = code * 16 + static_cast<std::uint32_t>(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F') code = code * 16 + static_cast<std::uint32_t>(c - 'A' + 10);
            else fail("four hexadecimal digits expected");
        }
        return code;
    }

    // Not strtod, which reads as the host's locale has it. Exact for up to 15 digits and powers to 22, near it beyond.
    double number() {
        const bool negative = peek() == '-';
        if (negative) at_++;
        if (!is_digit(peek())) fail("a value expected");
        double digits = 0;
        int exponent = 0;
        for (; is_digit(peek()); at_++) digits = digits * 10 + (peek() - '0');
        if (peek() == '.') {
            at_++;
            if (!is_digit(peek())) fail("a digit expected");
            for (; is_digit(peek()); at_++) {
                if (digits >= 1e15) continue;
                digits = digits * 10 + (peek() - '0');
                exponent--;
            }
        }
        if (peek() == 'e' || peek() == 'E') exponent += written_exponent();
        if (exponent < 0) digits = exponent < -400 ? 0 : digits / power_of_ten(-exponent);
        if (exponent > 0) digits *= power_of_ten(exponent > 400 ? 400 : exponent);
        return negative ? -digits : digits;
    }

    int written_exponent() {
        at_++;
        const bool negative = peek() == '-';
        if (negative || peek() == '+') at_++;
        if (!is_digit(peek())) fail("an exponent expected");
        int exponent = 0;
        for (; is_digit(peek()); at_++)
            if (exponent < 100000) exponent = exponent * 10 + (peek() - '0');
        return negative ? -exponent : exponent;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

Value parse(std::string_view text) { return Reader(text).whole(); }

int Value::integer(int otherwise) const {
    if (kind_ != Kind::number || !(std::fabs(number_) < 2147483647.0)) return otherwise;
    return static_cast<int>(number_ < 0 ? number_ - 0.5 : number_ + 0.5);
}

const Value &Value::operator[](std::string_view name) const {
    static const Value nothing;
    for (std::size_t i = 0; i < names_.size(); i++)
        if (names_[i] == name) return items_[i];
    return nothing;
}

Object &Object::put(std::string_view name, const std::string &value) {
    if (!inside_.empty()) inside_ += ", ";
    inside_ += quoted(name) + ": " + value;
    return *this;
}

Object &Object::add(std::string_view name, std::string_view value) { return put(name, quoted(value)); }

Object &Object::add(std::string_view name, double value) {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.17g", std::isfinite(value) ? value : 0.0);
    std::string text;
    for (const char *c = digits; *c != '\0'; c++) {
        // The host's locale may put another sign, of several bytes even, where JSON has its point.
        if (is_digit(*c) || *c == '-' || *c == '+' || *c == 'e') text += *c;
        else if (text.empty() || text.back() != '.') text += '.';
    }
    return put(name, text);
}

Object &Object::add(std::string_view name, int value) { return put(name, std::to_string(value)); }

Object &Object::add(std::string_view name, bool value) { return put(name, value ? "true" : "false"); }

Object &Object::add(std::string_view name, const std::vector<int> &values) {
    std::string text;
    for (const int value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
    return put(name, '[' + text + ']');
}

Object &Object::add(std::string_view name, const std::vector<std::pair<int, int>> &values) {
    std::string text;
    for (const auto &[first, last] : values)
        text += (text.empty() ? "[" : ", [") + std::to_string(first) + ", " + std::to_string(last) + ']';
    return put(name, '[' + text + ']');
}

}  // namespace vdp::json
