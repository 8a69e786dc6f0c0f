//! Which values make up an image, apart from the few that lie outside: markers, labels, collimators, dead pixels,
//! padding that nobody declared.

/// Fewer pixels than this say nothing about how they should be shown.
const FEWEST: u64 = 64;
/// Fewer different values than this may be what lies outside, whatever their number.
const FEWEST_VALUES: usize = 16;
/// Share of pixels at either end that are left out.
const TRIMMED: f64 = 0.01;

/// The values of an image in ascending order.
#[derive(Debug)]
pub struct Population(Vec<f64>);

impl Population {
    /// From values and how often each occurs. None if there are too few pixels, or all are the same.
    pub fn new(values: impl Iterator<Item = (f64, u32)>) -> Option<Self> {
        let mut values: Vec<(f64, u32)> = values.filter(|(_, count)| *count > 0).collect();
        values.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        if pixels(&values) < FEWEST || span(&values) == 0.0 {
            return None;
        }
        let inner = trimmed(main(&values));
        Some(Self(inner.iter().map(|(value, _)| *value).collect()))
    }

    /// The least and the greatest value.
    pub fn range(&self) -> [f64; 2] {
        [self.0[0], self.0[self.0.len() - 1]]
    }

    /// How many gray levels lie between the darkest and the brightest one of these values.
    pub fn contrast(&self, level: impl Fn(f64) -> u8) -> u8 {
        let levels = || self.0.iter().map(|value| level(*value));
        levels().max().unwrap_or_default() - levels().min().unwrap_or_default()
    }
}

fn pixels(values: &[(f64, u32)]) -> u64 {
    values.iter().map(|(_, count)| u64::from(*count)).sum()
}

fn span(values: &[(f64, u32)]) -> f64 {
    values.first().zip(values.last()).map_or(0.0, |((least, _), (greatest, _))| greatest - least)
}

/// Without values that lie further from the greater part of the image than all of that spans.
fn main(mut values: &[(f64, u32)]) -> &[(f64, u32)] {
    loop {
        let gap = |at: &usize| values[*at].0 - values[at - 1].0;
        let Some(at) = (1..values.len()).max_by(|a, b| gap(a).total_cmp(&gap(b))) else { return values };
        let (below, above) = values.split_at(at);
        let greater = if pixels(below) > pixels(above) { below } else { above };
        if greater.len() < FEWEST_VALUES || gap(&at) <= span(greater) {
            return values;
        }
        values = greater;
    }
}

/// Without a few pixels at either end, unless the rest are all the same.
fn trimmed(values: &[(f64, u32)]) -> &[(f64, u32)] {
    let few = (pixels(values) as f64 * TRIMMED) as u64;
    let within = |ends: &mut dyn Iterator<Item = &(f64, u32)>| {
        let mut seen = 0;
        ends.take_while(|(_, count)| {
            seen += u64::from(*count);
            seen <= few
        })
        .count()
    };
    let (low, high) = (within(&mut values.iter()), within(&mut values.iter().rev()));
    Some(&values[low..values.len() - high]).filter(|inner| span(inner) > 0.0).unwrap_or(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(values: impl IntoIterator<Item = (f64, u32)>) -> Option<[f64; 2]> {
        Population::new(values.into_iter()).map(|population| population.range())
    }

    #[test]
    fn far_values_and_the_outermost_pixels_are_no_part_of_the_image() {
        let body = || (1000..1100).map(|value| (f64::from(value), 10));
        assert_eq!(range(body()), Some([1001.0, 1098.0]));
        assert_eq!(range(body().chain([(65535.0, 400), (0.0, 90)])), Some([1001.0, 1098.0]));
        assert_eq!(range(body().chain([(1150.0, 9)])), Some([1001.0, 1099.0]));
    }

    #[test]
    fn few_pixels_and_flat_images_say_nothing_and_two_values_are_both_kept() {
        assert_eq!(range([(1.0, 62), (2.0, 1)]), None);
        assert_eq!(range([(5.0, 100), (7.0, 0)]), None);
        assert_eq!(range([(0.0, 30), (4095.0, 70)]), Some([0.0, 4095.0]));
        assert_eq!(range([(0.0, 1), (4095.0, 999)]), Some([0.0, 4095.0]));
    }
}
