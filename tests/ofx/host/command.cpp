#include "command.h"

#include <sstream>
#include <stdexcept>

#include "suites.h"

namespace {

std::string decoded(const std::string &text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            plain += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

Layout layout_of(const Command &command, const std::string &depth, const std::string &components) {
    Layout layout;
    layout.depth = command.has("depth") ? "OfxBitDepth" + command.text("depth") : depth;
    layout.components = command.has("components") ? "OfxImageComponent" + command.text("components") : components;
    layout.padding = int(command.whole("padding", 0));
    layout.top_down = command.flag("top_down");
    layout.shift = int(command.whole("shift", 0));
    return layout;
}

}  // namespace

Command::Command(const std::string &line) {
    std::istringstream in(line);
    in >> verb;
    for (std::string word; in >> word;) {
        const auto sign = word.find('=');
        if (sign == std::string::npos) throw std::invalid_argument("no value in " + word);
        arguments_[word.substr(0, sign)] = decoded(word.substr(sign + 1));
    }
}

std::string Command::text(const std::string &key, const std::string &otherwise) const {
    const auto found = arguments_.find(key);
    return found == arguments_.end() ? otherwise : found->second;
}

double Command::real(const std::string &key, double otherwise) const {
    return has(key) ? std::stod(text(key)) : otherwise;
}

long Command::whole(const std::string &key, long otherwise) const {
    return has(key) ? std::stol(text(key)) : otherwise;
}

std::vector<std::string> Command::list(const std::string &key) const {
    std::vector<std::string> words;
    std::istringstream in(text(key));
    for (std::string word; std::getline(in, word, ',');) words.push_back(word);
    return words;
}

std::vector<double> Command::reals(const std::string &key) const {
    std::vector<double> values;
    for (const std::string &word : list(key)) values.push_back(std::stod(word));
    return values;
}

std::optional<Rect> Command::rect(const std::string &key) const {
    if (!has(key)) return std::nullopt;
    const auto corners = reals(key);
    if (corners.size() != 4) throw std::invalid_argument(key + " has four corners");
    return Rect{int(corners[0]), int(corners[1]), int(corners[2]), int(corners[3])};
}

std::map<std::string, std::string> Command::with(const std::string &prefix) const {
    std::map<std::string, std::string> some;
    for (const auto &[key, value] : arguments_)
        if (key.rfind(prefix, 0) == 0) some[key.substr(prefix.size())] = value;
    return some;
}

RenderOrder order_of(const Command &command) {
    RenderOrder order;
    order.time = command.real("time", timeline_time());
    if (const auto scale = command.reals("scale"); !scale.empty()) {
        order.scale[0] = scale.front();
        order.scale[1] = scale.back();
    }
    order.window = command.rect("window");
    order.bounds = command.rect("bounds");
    order.layout = layout_of(command, "", "");
    order.abort_after = command.whole("abort_after", -1);
    order.abort_seconds = command.real("abort_seconds", -1);
    order.interactive = command.flag("interactive");
    order.draft = command.flag("draft");
    order.sequence = command.whole("sequence", 1) != 0;
    order.force = command.flag("force");
    order.loose = command.flag("loose");
    order.without_data = command.flag("without_data");
    order.out = command.text("out");
    return order;
}

Feed feed_of(const Command &command) {
    Feed feed;
    const std::string kind = command.text("kind", "formula");
    if (kind == "formula") feed.kind = Feed::Kind::formula;
    else if (kind == "files") feed.kind = Feed::Kind::files;
    else if (kind != "nothing") throw std::invalid_argument("a clip has a formula, files or nothing");
    feed.path = command.text("path");
    const auto region = command.reals("region");
    if (region.size() == 4) feed.region = {region[0], region[1], region[2], region[3]};
    else if (feed.kind != Feed::Kind::nothing) throw std::invalid_argument("a clip has a region of four corners");
    feed.first = command.real("first", 1);
    feed.last = command.real("last", 100);
    feed.pixel_aspect = command.real("aspect", 1);
    feed.frame_rate = command.real("fps", 24);
    feed.layout = layout_of(command, "OfxBitDepthFloat", "OfxImageComponentRGBA");
    return feed;
}
