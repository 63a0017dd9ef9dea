#include "io/media/builtin_spaces.h"

#include <array>
#include <string_view>

namespace weft {

namespace {

// XYZ is that of D65; the builtin before it adapts ACES' white by Bradford's method. Matrices are
// made of the primaries of ITU-R BT.709, BT.2020 and SMPTE EG 432-1 by SMPTE RP 177; ALEXA Wide
// Gamut 4 is adapted by CAT02, as its specification does. PQ and HLG show 1.0 as 203 cd/m2 (ITU-R
// BT.2408); OpenColorIO's curves count in units of 100.
constexpr const char* config_text = R"yaml(ocio_profile_version: 2
name: weft
roles:
  aces_interchange: ACES2065-1
  scene_linear: ACEScg
  reference: ACES2065-1
  compositing_log: ACEScct
  matte_paint: sRGB
  color_picking: sRGB
  data: Raw
  default: sRGB
file_rules:
  - !<Rule> {name: Default, colorspace: default}
displays:
  sRGB:
    - !<View> {name: Colorimetric, colorspace: sRGB}
  Rec.709:
    - !<View> {name: Colorimetric, colorspace: Rec.709}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace>
    name: ACES2065-1
    aliases: [aces2065_1, lin_ap0]
    encoding: scene-linear
    description: linear light, AP0 primaries (SMPTE ST 2065-1)
  - !<ColorSpace>
    name: ACEScg
    aliases: [acescg, lin_ap1]
    encoding: scene-linear
    description: linear light, AP1 primaries (Academy S-2014-004)
    to_scene_reference: !<BuiltinTransform> {style: ACEScg_to_ACES2065-1}
  - !<ColorSpace>
    name: ACEScct
    aliases: [acescct, acescct_ap1]
    encoding: log
    description: logarithmic with a toe, AP1 primaries (Academy S-2016-001)
    to_scene_reference: !<BuiltinTransform> {style: ACEScct_to_ACES2065-1}
  - !<ColorSpace>
    name: Linear Rec.709
    aliases: [lin_rec709, lin_srgb, Linear Rec.709 (sRGB)]
    encoding: scene-linear
    description: linear light, primaries of BT.709 and sRGB
    from_scene_reference: !<GroupTransform>
      children:
        - !<BuiltinTransform> {style: UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD}
        - !<MatrixTransform> {matrix: [3.240969941905, -1.537383177570, -0.498610760293, 0, -0.969243636281, 1.875967501508, 0.041555057407, 0, 0.055630079697, -0.203976958889, 1.056971514243, 0, 0, 0, 0, 1]}
  - !<ColorSpace>
    name: Linear Rec.2020
    aliases: [lin_rec2020]
    encoding: scene-linear
    description: linear light, primaries of BT.2020
    from_scene_reference: !<GroupTransform>
      children:
        - !<BuiltinTransform> {style: UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD}
        - !<MatrixTransform> {matrix: [1.716651187971, -0.355670783776, -0.253366281374, 0, -0.666684351832, 1.616481236635, 0.015768545814, 0, 0.017639857445, -0.042770613258, 0.942103121235, 0, 0, 0, 0, 1]}
  - !<ColorSpace>
    name: Linear P3-D65
    aliases: [lin_p3d65]
    encoding: scene-linear
    description: linear light, P3 primaries, white D65 (SMPTE EG 432-1)
    from_scene_reference: !<GroupTransform>
      children:
        - !<BuiltinTransform> {style: UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD}
        - !<MatrixTransform> {matrix: [2.493496911941, -0.931383617919, -0.402710784451, 0, -0.829488969562, 1.762664060318, 0.023624685842, 0, 0.035845830244, -0.076172389268, 0.956884524008, 0, 0, 0, 0, 1]}
  - !<ColorSpace>
    name: sRGB
    aliases: [srgb, srgb_tx, srgb_texture, sRGB - Texture]
    encoding: sdr-video
    description: sRGB pictures (IEC 61966-2-1)
    from_scene_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: ACES2065-1, dst: Linear Rec.709}
        - !<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055, style: mirror, direction: inverse}
  - !<ColorSpace>
    name: Rec.709
    aliases: [rec709, rec709_display, g24_rec709, Gamma 2.4 Rec.709 - Texture]
    encoding: sdr-video
    description: video of BT.709 as a display of gamma 2.4 shows it (ITU-R BT.1886)
    from_scene_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: ACES2065-1, dst: Linear Rec.709}
        - !<ExponentTransform> {value: 2.4, style: mirror, direction: inverse}
  - !<ColorSpace>
    name: Display P3
    aliases: [displayp3, p3d65_srgb]
    encoding: sdr-video
    description: sRGB's curve, P3 primaries, white D65
    from_scene_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: ACES2065-1, dst: Linear P3-D65}
        - !<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055, style: mirror, direction: inverse}
  - !<ColorSpace>
    name: Rec.2100-PQ
    aliases: [rec2100_pq, pq]
    encoding: hdr-video
    description: PQ video, 1.0 of linear light is 203 cd/m2 (ITU-R BT.2100, BT.2408)
    from_scene_reference: !<GroupTransform>
      children:
        - !<ColorSpaceTransform> {src: ACES2065-1, dst: Linear Rec.2020}
        - !<MatrixTransform> {matrix: [2.03, 0, 0, 0, 0, 2.03, 0, 0, 0, 0, 2.03, 0, 0, 0, 0, 1]}
        - !<BuiltinTransform> {style: CURVE - LINEAR_to_ST-2084}
  - !<ColorSpace>
    name: Rec.2100-HLG
    aliases: [rec2100_hlg, hlg]
    encoding: hdr-video
    description: HLG video for a display of 1000 cd/m2, 1.0 of linear light is 203 cd/m2 (ITU-R BT.2100)
    from_scene_reference: !<GroupTransform>
      children:
        - !<BuiltinTransform> {style: UTILITY - ACES-AP0_to_CIE-XYZ-D65_BFD}
        - !<MatrixTransform> {matrix: [2.03, 0, 0, 0, 0, 2.03, 0, 0, 0, 0, 2.03, 0, 0, 0, 0, 1]}
        - !<BuiltinTransform> {style: DISPLAY - CIE-XYZ-D65_to_REC.2100-HLG-1000nit}
  - !<ColorSpace>
    name: ARRI LogC3
    aliases: [logc3, arri_logc3, logc3ei800_awg3, ARRI LogC3 (EI800)]
    encoding: log
    description: LogC3 at EI 800, ALEXA Wide Gamut 3 (ARRI, ALEXA Log C Curve - Usage in VFX, 2017)
    to_scene_reference: !<BuiltinTransform> {style: ARRI_ALEXA-LOGC-EI800-AWG_to_ACES2065-1}
  - !<ColorSpace>
    name: ARRI LogC4
    aliases: [logc4, arri_logc4]
    encoding: log
    description: LogC4, ALEXA Wide Gamut 4 (ARRI LogC4 Logarithmic Color Space Specification, 2022)
    to_scene_reference: !<GroupTransform>
      children:
        - !<LogCameraTransform> {base: 2, log_side_slope: 0.06479541963412931, log_side_offset: -0.2959083926825862, lin_side_slope: 2231.8263090676883, lin_side_offset: 64, lin_side_break: -0.01805699611991131, direction: inverse}
        - !<MatrixTransform> {matrix: [0.750957362825, 0.144422786710, 0.104619850466, 0, 0.000821837079, 1.007397584885, -0.008219421964, 0, -0.000499952144, -0.000854177231, 1.001354129375, 0, 0, 0, 0, 1]}
  - !<ColorSpace>
    name: Sony S-Log3 S-Gamut3.Cine
    aliases: [slog3, slog3_sgamut3cine, S-Log3 S-Gamut3.Cine]
    encoding: log
    description: Sony, Technical Summary for S-Gamut3.Cine/S-Log3 and S-Gamut3/S-Log3
    to_scene_reference: !<BuiltinTransform> {style: SONY_SLOG3-SGAMUT3.CINE_to_ACES2065-1}
  - !<ColorSpace>
    name: Sony S-Log3 S-Gamut3
    aliases: [slog3_sgamut3, S-Log3 S-Gamut3]
    encoding: log
    description: Sony, Technical Summary for S-Gamut3.Cine/S-Log3 and S-Gamut3/S-Log3
    to_scene_reference: !<BuiltinTransform> {style: SONY_SLOG3-SGAMUT3_to_ACES2065-1}
  - !<ColorSpace>
    name: Panasonic V-Log
    aliases: [vlog, vlog_vgamut, V-Log V-Gamut]
    encoding: log
    description: V-Log, V-Gamut (Panasonic, V-Log/V-Gamut Reference Manual, 2014)
    to_scene_reference: !<BuiltinTransform> {style: PANASONIC_VLOG-VGAMUT_to_ACES2065-1}
  - !<ColorSpace>
    name: Canon Log 3
    aliases: [clog3, canonlog3_cgamut, Canon Log 3 Cinema Gamut]
    encoding: log
    description: Canon Log 3, Cinema Gamut (Canon, Log Gamma Curves, 2018); a table of 0 to 1, clipped outside
    to_scene_reference: !<BuiltinTransform> {style: CANON_CLOG3-CGAMUT_to_ACES2065-1}
  - !<ColorSpace>
    name: Canon Log 2
    aliases: [clog2, canonlog2_cgamut, Canon Log 2 Cinema Gamut]
    encoding: log
    description: Canon Log 2, Cinema Gamut (Canon, Log Gamma Curves, 2018); a table of 0 to 1, clipped outside
    to_scene_reference: !<BuiltinTransform> {style: CANON_CLOG2-CGAMUT_to_ACES2065-1}
  - !<ColorSpace>
    name: RED Log3G10
    aliases: [log3g10, log3g10_rwg, Log3G10 REDWideGamutRGB]
    encoding: log
    description: Log3G10, REDWideGamutRGB (RED, White Paper on REDWideGamutRGB and Log3G10, 2017)
    to_scene_reference: !<BuiltinTransform> {style: RED_LOG3G10-RWG_to_ACES2065-1}
  - !<ColorSpace>
    name: Raw
    aliases: [raw]
    isdata: true
    description: numbers that are no colours
)yaml";

}  // namespace

const char* builtin_config() {
    return config_text;
}

std::optional<ColorTag> builtin_tag(const std::string& space) {
    struct Entry {
        std::string_view name;
        int matrix;
        int primaries;
        int transfer;
    };

    constexpr std::array<Entry, 8> table = {{
        {"sRGB", 1, 1, 13},
        {"Rec.709", 1, 1, 1},
        {"Display P3", 1, 12, 13},
        {"Linear Rec.709", 1, 1, 8},
        {"Linear Rec.2020", 9, 9, 8},
        {"Linear P3-D65", 1, 12, 8},
        {"Rec.2100-PQ", 9, 9, 16},
        {"Rec.2100-HLG", 9, 9, 18},
    }};
    for (const Entry& entry : table) {
        if (space == entry.name)
            return ColorTag{
                .matrix = entry.matrix, .primaries = entry.primaries, .transfer = entry.transfer};
    }
    return std::nullopt;
}

}  // namespace weft
