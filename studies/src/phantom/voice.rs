//! How a site chooses among equivalent phrasings.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::site::Site;

/// The habits of one report's author. Site A prefers the earlier phrasings, site B the later ones.
pub struct Voice<'a> {
    pub site: Site,
    /// Most phrasings in use of each list: the site's favourites.
    pub phrasings: usize,
    pub rng: &'a mut ChaCha8Rng,
}

impl Voice<'_> {
    /// An index below `count`. Of the n in use the favourite has weight n, the next n − 1, and so on; the favourite is
    /// 0 at site A and the last at site B.
    pub fn index(&mut self, count: usize) -> usize {
        let used = count.min(self.phrasings);
        let mut left = self.rng.random_range(0..used * (used + 1) / 2);
        let mut rank = 0;
        while left >= used - rank {
            left -= used - rank;
            rank += 1;
        }
        if self.site == Site::A { rank } else { count - 1 - rank }
    }
}
