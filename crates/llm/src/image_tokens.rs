//! How many tokens an image has.

use crate::{ImageDetail, Operation};

/// How OpenAI counts images for a model (its guide to images and vision, "calculating costs").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageRule {
    /// Tiles of 512 pixels, of the image as it is scaled into 2,048 pixels and then to a short side of 768.
    Tiles { base: u64, tile: u64 },
    /// Patches of 32 pixels, at most 1,536 of them; so many tokens to 100 patches.
    Patches { percent: u64 },
}

/// The size that is assumed where none is known.
const ASSUMED: (u32, u32) = (1_024, 1_024);

impl ImageRule {
    /// The rule for the model called `name`, without what is put around the name; the first prefix that fits counts.
    pub(crate) fn of_model(name: &str) -> Self {
        const RULES: [(&str, ImageRule); 5] = [
            ("gpt-4o-mini", ImageRule::Tiles { base: 2_833, tile: 5_667 }),
            ("gpt-4.1-mini", ImageRule::Patches { percent: 162 }),
            ("gpt-4.1-nano", ImageRule::Patches { percent: 246 }),
            ("o1", ImageRule::Tiles { base: 75, tile: 150 }),
            ("o3", ImageRule::Tiles { base: 75, tile: 150 }),
        ];
        let rule = RULES.iter().find(|(prefix, _)| name.starts_with(prefix));
        rule.map_or(Self::Tiles { base: 85, tile: 170 }, |(_, rule)| *rule)
    }

    pub(crate) fn tokens(self, detail: ImageDetail, size: Option<(u32, u32)>) -> u64 {
        let (width, height) = size.unwrap_or(ASSUMED);
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        match self {
            Self::Tiles { base, .. } if detail == ImageDetail::Low => base,
            Self::Tiles { base, tile } => base + tile * tiles(width, height),
            Self::Patches { percent } => {
                (width.div_ceil(32) * height.div_ceil(32)).min(1_536).saturating_mul(percent).div_ceil(100)
            }
        }
    }
}

fn tiles(mut width: u64, mut height: u64) -> u64 {
    let long = width.max(height);
    if long > 2_048 {
        (width, height) = ((width * 2_048 / long).max(1), (height * 2_048 / long).max(1));
    }
    let short = width.min(height);
    if short > 768 {
        (width, height) = (width * 768 / short, height * 768 / short);
    }
    width.div_ceil(512) * height.div_ceil(512)
}

/// What an image of the assumed size costs where `operation` is not OpenAI's.
///
/// Anthropic counts a token to 750 pixels (its guide to vision); Gemini 258 to a tile of 768 pixels (its guide to tokens).
pub(crate) fn elsewhere(operation: Operation) -> Option<u64> {
    let (width, height) = (u64::from(ASSUMED.0), u64::from(ASSUMED.1));
    if operation.is_gemini() {
        return Some(258 * width.div_ceil(768) * height.div_ceil(768));
    }
    operation.is_anthropic().then(|| (width * height).div_ceil(750))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_examples_come_out() {
        let tokens = |model, detail, size| ImageRule::of_model(model).tokens(detail, Some(size));
        assert_eq!(tokens("gpt-4o", ImageDetail::High, (1_024, 1_024)), 765);
        assert_eq!(tokens("gpt-4o", ImageDetail::High, (2_048, 4_096)), 1_105);
        assert_eq!(tokens("gpt-4o", ImageDetail::Low, (4_096, 8_192)), 85);
        assert_eq!(tokens("gpt-4o", ImageDetail::High, (128, 64)), 255, "nothing is scaled up");
        assert_eq!(tokens("gpt-4o-mini", ImageDetail::High, (128, 64)), 8_500);
        assert_eq!(tokens("o3-2025-04-16", ImageDetail::High, (128, 64)), 225);
        assert_eq!(tokens("gpt-4.1-mini", ImageDetail::High, (4_000, 1_474)), 2_489);
        assert_eq!(tokens("gpt-4.1", ImageDetail::High, (2_050, 513)), 765);
    }

    #[test]
    fn no_size_makes_a_panic() {
        for size in [(0, 0), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
            for model in ["gpt-4o", "gpt-4.1-nano"] {
                assert!(ImageRule::of_model(model).tokens(ImageDetail::Auto, Some(size)) < 20_000);
            }
        }
        assert_eq!(ImageRule::of_model("gpt-4o").tokens(ImageDetail::Auto, None), 765);
    }
}
