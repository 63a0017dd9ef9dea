#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace weft {

class ReferenceBank;

/// Who sees whom when n frames are denoised together. The first rows of the batch are the
/// references: they run first, in one network call, and what they are at each site is kept for the
/// other rows, which run after them. Guidance's branches are alike: a row of a branch sees the
/// references' rows of the same branch.
///
/// A row sees the frames named here and itself, nothing else; what a row comes to does not depend
/// on how the other rows are cut into calls, beyond rounding.
struct FrameLinks {
    enum class Way {
        /// Keys and values of a row's self-attention are its own and, after them, those of the
        /// frames it sees (Text2Video-Zero, arXiv 2303.13439, eq. 12; Rerender, arXiv 2306.07954,
        /// section 4.1; TokenFlow's extended attention, arXiv 2307.10373, eq. 3).
        attention,
        /// References as above. The other rows do not attend: each of their tokens takes what the
        /// attention answered for the reference's most similar token, blended over the one or two
        /// references around the row (TokenFlow, section 4.3, eq. 5 and 6). Similar means: by the
        /// cosine of the site's normalised input, taken from the rows that show the source most
        /// plainly and used for all branches: the source's own rows under plug-and-play (as
        /// published); else the branch that is fed the source but not the prompt
        /// (InstructPix2Pix), else the negative prompt's, else the prompt's. Without any source
        /// the frames must share their noise, or start from their own pictures, to be alike.
        tokens,
    };

    /// Weights of two references at distances d1 and d2 from a row.
    enum class Blend {
        distance,   // ours: d2 / (d1 + d2) and the rest; continuous where a reference is passed
        published,  // TokenFlow's code: sigmoid(d2 / (d1 + d2)), 0.5 to 0.73, and the rest
    };

    Way way = Way::attention;
    int64_t references = 0;  // [0, n]
    /// [n, k] i64: for each row k references (rows < `references`) that it sees beside itself; -1:
    /// nobody. References see references alike. A row that sees nobody runs as if alone. For
    /// Way::tokens the other rows see at most two. No row is named twice, or by itself.
    torch::Tensor sees = {};
    /// Way::tokens: [n, k] f32 > 0, frames between a row and each reference it sees. Needed where a
    /// row sees two.
    torch::Tensor distance = {};
    /// Rows other than references in one network call (each has as many branches); 0: all. Bounds
    /// memory: beside one call, only what the references are at each site is held, for one step.
    int64_t rows_per_call = 0;
    /// Which sites are linked: see SiteChoice. Empty: all.
    std::string sites = {};
    Blend blend = Blend::distance;

    /// Where set: what the references are in this run is recorded here as well.
    std::shared_ptr<ReferenceBank> record = {};
    /// Where set: the references are not in the batch but were recorded in another run, all
    /// `references` of them; every row is one of the others.
    std::shared_ptr<const ReferenceBank> remembered = {};

    /// Rows of the batch that are references.
    int64_t rows_of_references() const { return remembered ? 0 : references; }
};

/// The links of a stretch of a shot. The batch holds the references, the shot's anchor first, then
/// the other frames, in the order given. Each reference sees the anchor, so that it comes to the
/// same in every batch it is a reference of. Each other frame sees the references around it, one
/// before and one after where there are two, and, with Way::attention, the anchor as well.
/// @param references, others numbers of frames, all different
FrameLinks shot_links(FrameLinks::Way way, std::span<const int64_t> references,
                      std::span<const int64_t> others);

/// The links of a batch of nothing but references that see nobody, recorded in `bank`.
FrameLinks recording(std::shared_ptr<ReferenceBank> bank, int64_t references);

/// The links of n frames that each see every one of the references recorded in `bank`.
FrameLinks seeing(std::shared_ptr<const ReferenceBank> bank, int64_t references, int64_t n);

/// Refuses (TORCH_CHECK) links that do not fit n rows.
void check(const FrameLinks& links, int64_t n);

}  // namespace weft
