#include "render.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "box_filter.h"
#include "pixels.h"
#include "runtime.h"

namespace vdp {
namespace {

bool is_missing(const Failure &failure) { return failure.code() == "ofx.missing" || failure.code() == "ofx.none"; }

// In the node's own words where it knows the way out better than the helper does.
std::string words_for(const Failure &failure, const View &view, int frame) {
    if (failure.code() == "ofx.none")
        return "Not analysed: there are no layers in " + view.shot +
               ". Connect Source and press Analyse, or choose the folder that has them.";
    if (failure.code() == "ofx.missing")
        return "Frame " + std::to_string(frame) + " is not analysed: there are no layers of it in " + view.shot +
               ". Press Analyse with a frame range that has it, or choose another missing frame.";
    return failure.what();
}

// The part of an image that has to be made: one row after the other, as long as the host wants it.
struct Target {
    const Instance &instance;
    const Pixels pixels;
    OfxRectI window;

    Target(const Instance &of, const Image &image, const OfxRectI &asked) : instance(of), pixels(image), window(asked) {
        const OfxRectI &bounds = pixels.bounds();
        window.x1 = std::max(window.x1, bounds.x1);
        window.y1 = std::max(window.y1, bounds.y1);
        window.x2 = std::min(window.x2, bounds.x2);
        window.y2 = std::min(window.y2, bounds.y2);
    }

    template <class MakeRow> void fill(MakeRow make_row) const {
        if (window.x1 >= window.x2) return;
        std::vector<float> row(4 * static_cast<std::size_t>(window.x2 - window.x1));
        for (int y = window.y1; y < window.y2; y++) {
            if (instance.abort_asked()) throw Aborted();
            make_row(y, row.data());
            pixels.write(y, window.x1, window.x2, row.data());
        }
    }
};

void fill_black(const Target &target) {
    target.fill([&](int, float *row) { std::fill(row, row + 4 * (target.window.x2 - target.window.x1), 0.0f); });
}

void fill_from_source(const Target &target, OfxTime time) {
    const Image image = target.instance.source.image(time);
    if (image.empty()) {
        fill_black(target);
        return;
    }
    const Pixels source(image);
    target.fill([&](int y, float *row) { source.read(y, target.window.x1, target.window.x2, row); });
}

void fill_from_picture(const Target &target, const Picture &picture, const std::array<double, 2> &scale) {
    const double aspect = target.pixels.pixel_aspect() > 0 ? target.pixels.pixel_aspect() : picture.pixel_aspect;
    BoxFilter filter(picture.pixels ? picture.pixels->floats() : nullptr, picture.window,
                     aspect / (scale[0] * picture.pixel_aspect), 1 / scale[1]);
    target.fill([&](int y, float *row) { filter.row(y, target.window.x1, target.window.x2, row); });
}

// Null: Source passes through.
PicturePointer picture_to_show(const Instance &instance, const View &view, int frame) {
    if (view.output == "plate" && instance.source.connected()) return nullptr;
    if (view.shot.empty() && view.missing == "black") return std::make_shared<Picture>();
    if (view.shot.empty() && view.missing != "plate")
        throw Failure("shot", "Not analysed: choose a shot folder, connect Source, and press Analyse.");
    if (view.shot.empty()) return nullptr;
    Watch watch([&instance] {
        if (instance.abort_asked()) throw Aborted();
    });
    try {
        return runtime().pictures.get(view, frame, watch);
    } catch (const Failure &failure) {
        if (view.missing == "plate" && is_missing(failure)) return nullptr;
        throw;
    }
}

void render_frame(Instance &instance, const View &view, Properties in) {
    const OfxTime time = in.real(kOfxPropTime, 0.0);
    const auto window = in.rectangle(kOfxImageEffectPropRenderWindow);
    const auto scale = in.pair(kOfxImageEffectPropRenderScale).value_or(std::array<double, 2>{1, 1});
    if (!window || !(scale[0] > 0 && scale[1] > 0)) throw HostError(kOfxStatErrValue);
    // Before an image is asked for: the host may keep other renders waiting for it.
    const PicturePointer picture = picture_to_show(instance, view, frame_at(time));
    const Image image(instance.output.handle, time);
    if (image.empty()) throw HostError(kOfxStatFailed);
    const Target target(instance, image, *window);
    if (picture)
        fill_from_picture(target, *picture, scale);
    else
        fill_from_source(target, time);
}

}  // namespace

int frame_at(OfxTime time) { return static_cast<int>(std::floor(std::clamp(time, -1e9, 1e9) + 0.5)); }

OfxStatus render(Instance &instance, Properties in) {
    const OfxTime time = in.real(kOfxPropTime, 0.0);
    const View view = View::of(instance.parameters, time);
    try {
        render_frame(instance, view, in);
    } catch (const Aborted &) {
        // The host asked for it: no fault, and nothing to tell.
        return kOfxStatOK;
    } catch (const Failure &failure) {
        instance.notices.render_failure(words_for(failure, view, frame_at(time)));
        return kOfxStatFailed;
    }
    instance.notices.render_failure("");
    instance.notices.warning(view.output == "plate" ? "" : instance.out_of_date());
    return kOfxStatOK;
}

OfxStatus get_region_of_definition(Instance &instance, Properties in, Properties out) {
    const OfxTime time = in.real(kOfxPropTime, 0.0);
    const View view = View::of(instance.parameters, time);
    const bool passes = view.output == "plate" && instance.source.connected();
    if (passes || view.shot.empty() || !host().multiple_resolutions()) return kOfxStatReplyDefault;
    try {
        Watch nobody;
        const PicturePointer picture = runtime().pictures.outline(view, frame_at(time), nobody);
        if (!picture->found) return kOfxStatReplyDefault;
        // What was painted beyond the picture, and the picture itself where the layers are cropped.
        const OfxRectI &window = picture->window;
        const double aspect = picture->pixel_aspect;
        out.set(kOfxImageEffectPropRegionOfDefinition,
                OfxRectD{std::min(window.x1, 0) * aspect, double(std::min(window.y1, 0)),
                         std::max(window.x2, picture->width) * aspect, double(std::max(window.y2, picture->height))});
        return kOfxStatOK;
    } catch (const Failure &) {
        // Whatever it is, the render will say so.
        return kOfxStatReplyDefault;
    }
}

}  // namespace vdp
