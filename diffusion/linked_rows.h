#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

#include "diffusion/coupling.h"
#include "diffusion/frame_links.h"
#include "diffusion/reference_bank.h"
#include "diffusion/site_choice.h"

namespace weft {

/// How the rows of linked network calls stand: first the source's, where they run along, then the
/// branches of guidance one after another, the same frames in each.
struct RowLayout {
    int64_t branches = 1;
    bool source = false;
    /// Without a source: the branch whose tokens tell which correspond.
    int64_t match = 0;
};

/// What the branches take from the source's rows, by site (Tumanyan et al., arXiv 2211.12572).
struct TakenSites {
    SiteChoice features;  // residual blocks: the map before the shortcut
    SiteChoice maps;      // self-attentions: queries and keys, and so the attention map
};

/// The coupling behind FrameLinks and plug-and-play for one step: it is told which frames the next
/// call runs, the references first, and keeps what they are at each site for the others.
/// For one network call at a time.
class LinkedRows : public Coupling {
  public:
    /// `links` fit the frames of a branch (see check) and outlive this.
    /// @param call counts the steps' network calls of a run from 0, for what is remembered
    LinkedRows(const FrameLinks& links, const RowLayout& layout, TakenSites taken,
               int64_t call = 0);

    /// The next network call runs frames [first, first + count).
    void enter(int64_t first, int64_t count);

    torch::Tensor attend(const Attention& attention, const torch::Tensor& states) override;
    bool takes_features(const std::string& site) const override;
    torch::Tensor features(const std::string& site, const torch::Tensor& map) override;

    /// What is kept of the references at present.
    int64_t bank_bytes() const;

  private:
    // Frames of the present call that see equally many references.
    struct Group {
        torch::Tensor frames;  // [m] i64, places in the call
        torch::Tensor sees;    // [m, k] i64, references
        torch::Tensor shares;  // [m, k] f32, their weights in a blend
    };

    // The layer, its input and the present call's rows in it.
    struct Site {
        const Attention& attention;
        const torch::Tensor& states;  // [rows of the call, t, d]
        bool linked;
        bool taken;
    };

    bool keeps() const { return references_here_ && (others_follow_ || links_.record); }

    torch::Tensor branches_of(const Site& site, const torch::Tensor& frames) const;
    torch::Tensor telling_rows(const torch::Tensor& frames) const;
    torch::Tensor mapped(const Site& site, const torch::Tensor& frames) const;
    torch::Tensor attended(const Site& site, const Group& group, const SiteMemory& kept) const;
    torch::Tensor gathered(const Site& site, const Group& group, const SiteMemory& kept) const;
    torch::Tensor own_source(const Site& site) const;
    SiteMemory seen(const Site& site) const;
    const SiteMemory& of_references(const std::string& site) const;
    void keep(const Site& site, SiteMemory&& seen, const torch::Tensor& answers);
    void make_groups(int64_t first, int64_t count);

    const FrameLinks& links_;
    RowLayout layout_;
    TakenSites taken_;
    SiteChoice linked_;
    int64_t call_;

    int64_t count_ = 0;  // frames of the present call
    bool references_here_ = false;
    bool others_follow_ = false;
    std::vector<Group> groups_;
    std::map<std::string, SiteMemory> bank_;
};

}  // namespace weft
