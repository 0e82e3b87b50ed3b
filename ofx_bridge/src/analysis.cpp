#include "analysis.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include "frame_ranges.h"
#include "pixels.h"
#include "render.h"
#include "runtime.h"
#include "shot.h"

namespace vdp {
namespace {

// Of the whole progress; the engine has the rest.
constexpr double kShareOfPlates = 0.15;
constexpr int kMostFrames = 100000;
constexpr Milliseconds kBetweenLooks{100};

class Cancelled : public std::exception {};

// Where all plates of a shot lie: the engine wants them alike.
struct Canvas {
    OfxRectI window;
    int width, height;
    double pixel_aspect, frame_rate;

    std::size_t pixels() const {
        return static_cast<std::size_t>(window.x2 - window.x1) * static_cast<std::size_t>(window.y2 - window.y1);
    }
};

FrameRanges range_of(const Instance &instance) {
    const bool custom = instance.parameters.choice(param::kRange) == "custom";
    int first = instance.parameters.integer(param::kFirst), last = instance.parameters.integer(param::kLast);
    if (!custom) {
        const auto clip = instance.source.properties.pair(kOfxImageEffectPropFrameRange);
        if (!clip)
            throw Failure("range", "This host does not say how long Source is: set frame range to custom, first and "
                                   "last frame.");
        first = frame_at((*clip)[0]);
        last = frame_at((*clip)[1]);
    }
    if (first > last)
        throw Failure("range", "The frame range is empty: " + std::to_string(first) + " is after " +
                                   std::to_string(last) + '.');
    if (last - first >= kMostFrames)
        throw Failure("range", "Frames " + std::to_string(first) + " to " + std::to_string(last) +
                                   " are too many: set frame range to custom, and first and last frame.");
    return {{first, last}};
}

Canvas canvas_of(const Instance &instance, int frame) {
    Canvas canvas{};
    canvas.pixel_aspect = instance.source.properties.real(kOfxImagePropPixelAspectRatio, 1.0);
    if (!(canvas.pixel_aspect > 0)) canvas.pixel_aspect = 1.0;
    canvas.frame_rate = instance.source.properties.real(kOfxImageEffectPropFrameRate, 24.0);

    OfxRectD region{};
    const OfxStatus known = host().effect->clipGetRegionOfDefinition(instance.source.handle, frame, &region);
    const auto extent = instance.properties.pair(kOfxImageEffectPropProjectExtent);
    const auto pixel = [](double value, double most) { return static_cast<int>(std::clamp(value, -most, most)); };
    const bool has_extent = extent && (*extent)[0] > 0 && (*extent)[1] > 0;
    if (!has_extent && known != kOfxStatOK) throw Failure("source", "This host does not say how large Source is.");
    canvas.width = pixel((has_extent ? (*extent)[0] : region.x2) / canvas.pixel_aspect + 0.5, 65536);
    canvas.height = pixel((has_extent ? (*extent)[1] : region.y2) + 0.5, 65536);
    if (canvas.width <= 0 || canvas.height <= 0) throw Failure("source", "Source has no picture to analyse.");
    if (known != kOfxStatOK) region = {0, 0, canvas.width * canvas.pixel_aspect, double(canvas.height)};

    // What is infinite, such as a constant, ends one picture beyond the picture.
    constexpr double slack = 1e-4;
    canvas.window = {std::max(-canvas.width, pixel(std::floor(region.x1 / canvas.pixel_aspect + slack), 1e6)),
                     std::max(-canvas.height, pixel(std::floor(region.y1 + slack), 1e6)),
                     std::min(2 * canvas.width, pixel(std::ceil(region.x2 / canvas.pixel_aspect - slack), 1e6)),
                     std::min(2 * canvas.height, pixel(std::ceil(region.y2 - slack), 1e6))};
    if (canvas.window.x1 >= canvas.window.x2 || canvas.window.y1 >= canvas.window.y2)
        throw Failure("source", "Source has no picture at frame " + std::to_string(frame) + '.');
    return canvas;
}

void require_full_size(const Image &image, Properties in) {
    auto scale = image.properties().pair(kOfxImageEffectPropRenderScale);
    if (!scale) scale = in.pair(kOfxImageEffectPropRenderScale);
    if (scale && ((*scale)[0] != 1.0 || (*scale)[1] != 1.0))
        throw Failure("scale", "Analyse needs the pictures in full size: switch proxies off, set the viewer to full "
                               "resolution, and press it again.");
}

template <class Visit> void each_row(const Pixels &pixels, const Canvas &canvas, Visit visit) {
    std::vector<float> row(4 * static_cast<std::size_t>(canvas.window.x2 - canvas.window.x1));
    for (int y = canvas.window.y1; y < canvas.window.y2; y++) {
        pixels.read(y, canvas.window.x1, canvas.window.x2, row.data());
        visit(row);
    }
}

void put_colours(const Pixels &pixels, const Canvas &canvas, float *out) {
    each_row(pixels, canvas, [&out](const std::vector<float> &row) {
        for (std::size_t i = 0; i < row.size(); i += 4) out = std::copy_n(&row[i], 3, out);
    });
}

// A picture read from a file often has an alpha of 1 everywhere: then what was painted is in its colours.
bool alpha_is_matte(const Pixels &pixels, const Canvas &canvas) {
    bool varies = pixels.components() == 1;
    each_row(pixels, canvas, [&varies, &pixels](const std::vector<float> &row) {
        if (pixels.components() != 4) return;
        for (std::size_t i = 3; i < row.size(); i += 4) varies = varies || row[i] != 1.0f;
    });
    return varies;
}

// False where there is nothing in it.
bool put_matte(const Pixels &pixels, const Canvas &canvas, float *out) {
    const bool from_alpha = alpha_is_matte(pixels, canvas);
    bool anything = false;
    each_row(pixels, canvas, [&](const std::vector<float> &row) {
        for (std::size_t i = 0; i < row.size(); i += 4) {
            *out = from_alpha ? row[i + 3] : (row[i] + row[i + 1] + row[i + 2]) / 3.0f;
            anything = anything || *out > 0.0f;
            out++;
        }
    });
    return anything;
}

class Analysis {
public:
    Analysis(Instance &instance, Properties in)
        : instance_(instance), in_(in), shot_(require_shot(instance)), range_(range_of(instance)),
          settings_(AnalysisSettings::of(instance.parameters)), canvas_(canvas_of(instance, range_.front().first)),
          progress_(instance.effect, "VDP: Analyse"), watch_([this] { go_on(done_); }) {}

    void run() {
        write_plates();
        const FrameRanges hints = write_hints();
        json::Object analyse = request("analyse")
                                   .add("frames", range_)
                                   .add("task", settings_.task)
                                   .add("flow", settings_.flow)
                                   .add("quality", settings_.quality)
                                   .add("device", settings_.device)
                                   .add("hint", hints);
        if (!settings_.layers.empty()) analyse.add("layers", settings_.layers).add("alpha", "premultiplied");
        runtime().helper.ask(analyse, watch_);
        started_ = true;
        if (progress_.open() || host().is_background()) wait();
        else instance_.notices.answer("Analysing. Press Refresh to see how far it is, Cancel to stop it.");
        instance_.source_changed = false;
        instance_.parameters.set(param::kAnalysed, settings_.digest());
    }

    bool started() const { return started_; }

    void stop() {
        Watch nobody;
        runtime().helper.ask(request("cancel"), nobody);
    }

private:
    json::Object request(const char *op) const { return json::Object().add("op", op).add("shot", shot_); }

    void go_on(double done) {
        done_ = done;
        if (!progress_.update(done) || instance_.cancel_asked) throw Cancelled();
    }

    void write_plates() {
        const auto [first, last] = range_.front();
        for (int frame = first; frame <= last; frame++) {
            go_on(kShareOfPlates * (frame - first) / (last - first + 1));
            const Image image = instance_.source.image(frame);
            if (image.empty())
                throw Failure("source", "The host gives no picture of Source at frame " + std::to_string(frame) +
                                            ". Some hosts give none while nothing is rendered: take the plate apart "
                                            "with vdp run PLATE --out " + shot_ + ", and press Refresh.");
            require_full_size(image, in_);
            const Pixels pixels(image);
            write("plate", frame, 3, [&](float *out) { put_colours(pixels, canvas_, out); });
        }
    }

    FrameRanges write_hints() {
        FrameRanges written;
        const auto chosen = parse_frames(instance_.parameters.text(param::kHintFrames));
        if (!chosen)
            throw Failure("hint", "hint frames is no list of frames: write it as 1001, 1020, 1040-1050, or empty it.");
        if (!instance_.hint.connected()) return written;
        for (int frame = range_.front().first; frame <= range_.front().second; frame++) {
            if (!chosen->empty() && !contains(*chosen, frame)) continue;
            go_on(done_);
            const Image image = instance_.hint.image(frame);
            if (image.empty()) continue;
            require_full_size(image, in_);
            const Pixels pixels(image);
            std::vector<float> matte(canvas_.pixels());
            // A frame on which nothing is painted says nothing.
            if (!put_matte(pixels, canvas_, matte.data())) continue;
            write("hint", frame, 1, [&](float *out) { std::copy(matte.begin(), matte.end(), out); });
            append(written, frame);
        }
        return written;
    }

    template <class Fill> void write(const char *kind, int frame, int components, Fill fill) {
        const OfxRectI &window = canvas_.window;
        const std::size_t bytes = canvas_.pixels() * static_cast<std::size_t>(components) * sizeof(float);
        Loan loan;
        runtime().helper.ask(
            [&](Session &session) {
                const Buffer &buffer = loan.take(session, bytes);
                fill(buffer->floats());
                return request("plate")
                    .add("kind", kind)
                    .add("frame", frame)
                    .add("window", std::vector<int>{window.x1, window.y1, window.x2, window.y2})
                    .add("display", std::vector<int>{canvas_.width, canvas_.height})
                    .add("pixel_aspect", canvas_.pixel_aspect)
                    .add("frame_rate", canvas_.frame_rate)
                    .add("components", components)
                    .add("buffer", buffer->path());
            },
            watch_);
        loan.settled();
    }

    void wait() {
        for (;;) {
            const json::Value status = runtime().helper.ask(request("status"), watch_);
            const std::string state = status["state"].text();
            if (state == "running") {
                const double fraction = std::clamp(status["fraction"].number(), 0.0, 1.0);
                go_on(kShareOfPlates + (1 - kShareOfPlates) * fraction);
                std::this_thread::sleep_for(kBetweenLooks);
                continue;
            }
            if (instance_.cancel_asked) throw Cancelled();
            if (state != "ready") throw Failure("analysis", words_for_status(status, shot_));
            instance_.notices.answer(words_for_status(status, shot_));
            return;
        }
    }

    Instance &instance_;
    const Properties in_;
    const std::string shot_;
    const FrameRanges range_;
    const AnalysisSettings settings_;
    const Canvas canvas_;
    Progress progress_;
    Watch watch_;
    double done_ = 0;
    bool started_ = false;
};

// One analysis of a node at a time: a host that shows progress may let the artist press Analyse meanwhile.
class Turn {
public:
    explicit Turn(Instance &instance) : instance_(instance), mine_(!instance.analysing.exchange(true)) {
        if (mine_) instance_.cancel_asked = false;
    }
    ~Turn() {
        if (mine_) instance_.analysing = false;
    }
    Turn(const Turn &) = delete;
    Turn &operator=(const Turn &) = delete;
    bool mine() const { return mine_; }

private:
    Instance &instance_;
    const bool mine_;
};

}  // namespace

void analyse(Instance &instance, Properties in) {
    const Turn turn(instance);
    if (!turn.mine()) return;
    runtime().helper.renew();
    if (!instance.source.connected()) throw Failure("source", "Connect the plate to Source first.");
    {
        Analysis analysis(instance, in);
        try {
            analysis.run();
        } catch (const Cancelled &) {
            if (analysis.started()) analysis.stop();
            instance.notices.answer("Cancelled. What is finished is kept: Analyse goes on from there.");
        } catch (const Failure &failure) {
            instance.notices.answer_failure(failure.what());
        }
        if (!analysis.started()) return;
    }
    // Whatever came of it, the layers on the disk may be others now.
    show_layers_anew(instance);
    instance.notices.render_failure("");
    instance.notices.warning(instance.out_of_date());
}

}  // namespace vdp
