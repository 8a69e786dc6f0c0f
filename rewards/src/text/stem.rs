//! The Porter2 stemmer of English (Porter 2001, "English (Porter2) stemming algorithm"), for METEOR's stem matches.

/// The stem of a word in lower case. A word with anything but the letters a to z is its own stem.
pub fn stem(word: &str) -> String {
    if word.len() <= 2 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word.to_owned();
    }
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    let mut word = Word::new(word);
    word.plural();
    if !INVARIANT.contains(&word.letters.as_str()) {
        word.past_or_gerund();
        word.final_y();
        word.derived();
        word.adjectival();
        word.residual();
        word.final_e_or_l();
    }
    word.letters.replace('Y', "y")
}

const IRREGULAR: &[(&str, &str)] = &[
    ("skis", "ski"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("idly", "idl"),
    ("gently", "gentl"),
    ("ugly", "ugli"),
    ("early", "earli"),
    ("only", "onli"),
    ("singly", "singl"),
    ("sky", "sky"),
    ("news", "news"),
    ("howe", "howe"),
    ("atlas", "atlas"),
    ("cosmos", "cosmos"),
    ("bias", "bias"),
    ("andes", "andes"),
];

/// Left alone once a plural ending is gone.
const INVARIANT: &[&str] = &["inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"];

/// Step 2: endings and what takes their place, in R1.
const DERIVED: &[(&str, &str)] = &[
    ("ational", "ate"),
    ("ization", "ize"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("iveness", "ive"),
    ("tional", "tion"),
    ("biliti", "ble"),
    ("lessli", "less"),
    ("entli", "ent"),
    ("ation", "ate"),
    ("alism", "al"),
    ("aliti", "al"),
    ("ousli", "ous"),
    ("iviti", "ive"),
    ("fulli", "ful"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("abli", "able"),
    ("izer", "ize"),
    ("ator", "ate"),
    ("alli", "al"),
    ("bli", "ble"),
    ("ogi", "og"),
    ("li", ""),
];

/// Step 3: endings and what takes their place, in R1.
const ADJECTIVAL: &[(&str, &str)] = &[
    ("ational", "ate"),
    ("tional", "tion"),
    ("alize", "al"),
    ("icate", "ic"),
    ("iciti", "ic"),
    ("ative", ""),
    ("ical", "ic"),
    ("ness", ""),
    ("ful", ""),
];

/// Step 4: endings that vanish, in R2.
const RESIDUAL: &[&str] = &[
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous", "ive", "ize", "ion",
    "al", "er", "ic",
];

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

/// A word on its way to its stem. ASCII letters; a `y` that is a consonant is written `Y`.
struct Word {
    letters: String,
    /// Where the regions R1 and R2 start.
    r1: usize,
    r2: usize,
}

impl Word {
    fn new(word: &str) -> Self {
        let mut letters = String::with_capacity(word.len());
        let mut after_vowel = true;
        for letter in word.chars() {
            let letter = if letter == 'y' && after_vowel { 'Y' } else { letter };
            after_vowel = is_vowel(letter as u8);
            letters.push(letter);
        }
        let prefix = ["gener", "commun", "arsen"].into_iter().find(|prefix| letters.starts_with(prefix));
        let r1 = prefix.map_or_else(|| region(letters.as_bytes(), 0), str::len);
        let r2 = region(letters.as_bytes(), r1);
        Self { letters, r1, r2 }
    }

    /// The letters before an ending that the word has.
    fn before(&self, ending: &str) -> &str {
        self.letters.strip_suffix(ending).unwrap_or(&self.letters)
    }

    fn start_of(&self, ending: &str) -> usize {
        self.letters.len() - ending.len()
    }

    fn replace(&mut self, ending: &str, by: &str) {
        self.letters.truncate(self.start_of(ending));
        self.letters.push_str(by);
    }

    /// The first of `endings`, longest first, that the word has.
    fn ending(&self, endings: &[&'static str]) -> Option<&'static str> {
        endings.iter().copied().find(|ending| self.letters.ends_with(ending))
    }

    /// Step 1a.
    fn plural(&mut self) {
        match self.ending(&["sses", "ied", "ies", "us", "ss", "s"]) {
            Some("sses") => self.replace("sses", "ss"),
            Some(ending @ ("ied" | "ies")) => {
                let by = if self.before(ending).len() > 1 { "i" } else { "ie" };
                self.replace(ending, by);
            }
            Some("s") => {
                let before = self.before("s").as_bytes();
                if before.split_last().is_some_and(|(_, earlier)| earlier.iter().copied().any(is_vowel)) {
                    self.replace("s", "");
                }
            }
            _ => {}
        }
    }

    /// Step 1b.
    fn past_or_gerund(&mut self) {
        match self.ending(&["eedly", "ingly", "edly", "eed", "ing", "ed"]) {
            Some(ending @ ("eed" | "eedly")) => {
                let by = if self.start_of(ending) >= self.r1 { "ee" } else { ending };
                self.replace(ending, by);
            }
            Some(ending) if self.before(ending).bytes().any(is_vowel) => {
                self.replace(ending, "");
                self.mend();
            }
            _ => {}
        }
    }

    /// What step 1b does with the letters that an ending left behind.
    fn mend(&mut self) {
        const DOUBLES: &[&str] = &["bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt"];
        if self.ending(&["at", "bl", "iz"]).is_some() {
            self.letters.push('e');
        } else if self.ending(DOUBLES).is_some() {
            self.letters.pop();
        } else if self.r1 >= self.letters.len() && ends_in_short_syllable(self.letters.as_bytes()) {
            self.letters.push('e');
        }
    }

    /// Step 1c.
    fn final_y(&mut self) {
        if let [_, .., before, b'y' | b'Y'] = self.letters.as_bytes()
            && !is_vowel(*before)
        {
            self.letters.pop();
            self.letters.push('i');
        }
    }

    /// Step 2.
    fn derived(&mut self) {
        let Some(&(ending, by)) = DERIVED.iter().find(|(ending, _)| self.letters.ends_with(ending)) else { return };
        let last = self.before(ending).bytes().last();
        let allowed = match ending {
            "ogi" => last == Some(b'l'),
            "li" => last.is_some_and(|letter| b"cdeghkmnrt".contains(&letter)),
            _ => true,
        };
        if allowed && self.start_of(ending) >= self.r1 {
            self.replace(ending, by);
        }
    }

    /// Step 3.
    fn adjectival(&mut self) {
        let Some(&(ending, by)) = ADJECTIVAL.iter().find(|(ending, _)| self.letters.ends_with(ending)) else { return };
        let region = if ending == "ative" { self.r2 } else { self.r1 };
        if self.start_of(ending) >= region {
            self.replace(ending, by);
        }
    }

    /// Step 4.
    fn residual(&mut self) {
        let Some(ending) = self.ending(RESIDUAL) else { return };
        let allowed = ending != "ion" || self.before(ending).ends_with(['s', 't']);
        if allowed && self.start_of(ending) >= self.r2 {
            self.replace(ending, "");
        }
    }

    /// Step 5.
    fn final_e_or_l(&mut self) {
        let Some((&last, before)) = self.letters.as_bytes().split_last() else { return };
        let start = before.len();
        let goes = match last {
            b'e' => start >= self.r2 || start >= self.r1 && !ends_in_short_syllable(before),
            b'l' => start >= self.r2 && before.ends_with(b"l"),
            _ => false,
        };
        if goes {
            self.letters.pop();
        }
    }
}

/// The region after the first consonant that follows a vowel, from `start` on.
fn region(letters: &[u8], start: usize) -> usize {
    let tail = letters.get(start..).unwrap_or_default();
    let after = tail.windows(2).position(|pair| is_vowel(pair[0]) && !is_vowel(pair[1]));
    after.map_or(letters.len(), |at| start + at + 2)
}

fn ends_in_short_syllable(letters: &[u8]) -> bool {
    match letters {
        [vowel, consonant] => is_vowel(*vowel) && !is_vowel(*consonant),
        [.., before, vowel, consonant] => {
            !is_vowel(*before) && is_vowel(*vowel) && !is_vowel(*consonant) && !matches!(*consonant, b'w' | b'x' | b'Y')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_those_of_the_published_algorithm() {
        for (word, expected) in [
            ("consigned", "consign"),
            ("consistency", "consist"),
            ("consolingly", "consol"),
            ("knightly", "knight"),
            ("kneeling", "kneel"),
            ("knives", "knive"),
            ("generously", "generous"),
            ("communism", "communism"),
            ("hopping", "hop"),
            ("hoping", "hope"),
            ("luxuriated", "luxuri"),
            ("agreed", "agre"),
            ("feed", "feed"),
            ("gas", "gas"),
            ("gaps", "gap"),
            ("kiwis", "kiwi"),
            ("ties", "tie"),
            ("cries", "cri"),
            ("by", "by"),
            ("say", "say"),
            ("cry", "cri"),
            ("youth", "youth"),
            ("boyish", "boyish"),
            ("sky", "sky"),
            ("proceeding", "proceed"),
            ("exceeds", "exceed"),
            ("relational", "relat"),
            ("conditional", "condit"),
            ("vietnamization", "vietnam"),
            ("adjustment", "adjust"),
            ("adoption", "adopt"),
            ("rate", "rate"),
            ("controll", "control"),
            ("nodules", "nodul"),
            ("opacities", "opac"),
            ("effusions", "effus"),
            ("enlarged", "enlarg"),
            ("pulmonary", "pulmonari"),
            ("2nd", "2nd"),
            ("ödem", "ödem"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
