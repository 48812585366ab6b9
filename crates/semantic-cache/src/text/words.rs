//! What English words do to the meaning of a text. Of other languages, the words that deny.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::guards::Guard;

/// A class of words of which one cannot stand for another, and which of them: a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) class: u8,
    pub(super) member: u32,
}

/// How two texts are compared in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Both must name the same members.
    Same,
    /// They must not name different ones; one of them may be silent.
    Apart,
    /// As [`Rule::Apart`], if they speak of the same things otherwise.
    ApartAlike,
}

/// A class: what guards it, how, and its words. The words of one member stand together, members are parted by `/`.
struct Class(Guard, Rule, &'static str);

#[rustfmt::skip]
const CLASSES: &[Class] = &[
    Class(Guard::Date, Rule::Same, "monday mondays mon/tuesday tuesdays tue tues/wednesday wednesdays wed/thursday thursdays thu thurs/friday fridays fri/saturday saturdays/sunday sundays"),
    Class(Guard::Date, Rule::Same, "january jan/february feb/april apr/june jun/july jul/august aug/september sept/october oct/november nov/december dec"),
    Class(Guard::Date, Rule::Same, "today/tomorrow/yesterday/tonight/morning/afternoon/evening/midnight/noon/weekend/weekday weekdays"),
    Class(Guard::Date, Rule::Same, "daily/weekly/monthly/quarterly/yearly annually annual/hourly"),
    Class(Guard::Date, Rule::Apart, "spring/summer/autumn fall/winter"),
    Class(Guard::Scope, Rule::Same, "all every each everything everyone entire whole/only solely exclusively/except excluding besides/both/always/sometimes/most/other another else"),
    Class(Guard::Scope, Rule::Same, "last latest newest/next upcoming/previous prior/current currently/original"),
    Class(Guard::Scope, Rule::Apart, "least/most"),
    Class(Guard::Scope, Rule::Apart, "any some/all every each/none"),
    Class(Guard::Scope, Rule::Apart, "and/or"),
    Class(Guard::Opposite, Rule::Apart, "more greater larger bigger higher above over exceeding longer/less fewer smaller lower below under shorter"),
    Class(Guard::Opposite, Rule::Apart, "maximum max highest largest biggest longest/minimum min lowest smallest shortest"),
    Class(Guard::Opposite, Rule::Apart, "best better/worst worse"),
    Class(Guard::Opposite, Rule::Apart, "before/after/during"),
    Class(Guard::Opposite, Rule::Apart, "from/to into towards"),
    Class(Guard::Opposite, Rule::Apart, "on/off"),
    Class(Guard::Opposite, Rule::Apart, "in/out outside"),
    Class(Guard::Opposite, Rule::Apart, "with/without"),
    Class(Guard::Opposite, Rule::Apart, "until/since"),
    Class(Guard::Opposite, Rule::Apart, "up upward/down downward"),
    Class(Guard::Opposite, Rule::Apart, "left/right"),
    Class(Guard::Opposite, Rule::Apart, "north/south/east/west"),
    Class(Guard::Opposite, Rule::Apart, "enable activate allow permit/disable deactivate forbid deny prevent block"),
    Class(Guard::Opposite, Rule::Apart, "start begin launch open/stop end quit close shut"),
    Class(Guard::Opposite, Rule::Apart, "add insert create attach/remove delete erase detach"),
    Class(Guard::Opposite, Rule::Apart, "increase raise rise grow/decrease reduce drop shrink"),
    Class(Guard::Opposite, Rule::Apart, "buy purchase bought/sell sold"),
    Class(Guard::Opposite, Rule::Apart, "send sent/receive received/forward"),
    Class(Guard::Opposite, Rule::Apart, "deposit/withdraw withdrawal"),
    Class(Guard::Opposite, Rule::Apart, "lend lent/borrow borrowed"),
    Class(Guard::Opposite, Rule::Apart, "lock locked/unlock unlocked"),
    Class(Guard::Opposite, Rule::Apart, "upload/download"),
    Class(Guard::Opposite, Rule::Apart, "import/export"),
    Class(Guard::Opposite, Rule::Apart, "encrypt encode/decrypt decode"),
    Class(Guard::Opposite, Rule::Apart, "accept approve/reject decline refuse"),
    Class(Guard::Opposite, Rule::Apart, "show display/hide"),
    Class(Guard::Opposite, Rule::Apart, "win won/lose lost"),
    Class(Guard::Opposite, Rule::Apart, "cheap cheapest cheaper/expensive pricey dearest"),
    Class(Guard::Opposite, Rule::Apart, "hot hotter/cold colder"),
    Class(Guard::Opposite, Rule::Apart, "fast faster fastest quickest/slow slower slowest"),
    Class(Guard::Opposite, Rule::Apart, "old older oldest/new newer/young younger youngest"),
    Class(Guard::Opposite, Rule::Apart, "early earlier earliest/late later"),
    Class(Guard::Opposite, Rule::Apart, "safe/dangerous unsafe"),
    Class(Guard::Opposite, Rule::Apart, "true/false"),
    Class(Guard::Opposite, Rule::Apart, "public/private"),
    Class(Guard::Opposite, Rule::Apart, "arrive arrival arrivals/depart departure departures leave"),
    Class(Guard::Opposite, Rule::Apart, "ascending/descending"),
    Class(Guard::Opposite, Rule::Apart, "encourage/discourage"),
    Class(Guard::Opposite, Rule::Apart, "advantages pros benefits/disadvantages cons drawbacks"),
    Class(Guard::Tense, Rule::Apart, "was were did had/is are am do does has will shall"),
    Class(Guard::Tense, Rule::ApartAlike, "will shall going/is are am do does"),
    Class(Guard::Question, Rule::ApartAlike, "what which how/who whom whose/where/when/why"),
    Class(Guard::Question, Rule::ApartAlike, "can could may might/should ought/must"),
    Class(Guard::Person, Rule::Apart, "my mine/your yours/his/her hers/their theirs/our ours"),
    Class(Guard::Person, Rule::ApartAlike, "i me/you/he him/she/they them/we us"),
    Class(Guard::Polarity, Rule::Same, "unless"),
];

/// Words that turn a statement into its opposite.
const DENY: &[&str] = &[
    "not", "no", "never", "nobody", "nothing", "nowhere", "neither", "nor", "none", "without", "cannot", "hardly",
    "barely", "rarely", "seldom", "avoid", "stop", "fail", "fails", "failed", "refuse", "nicht", "kein", "keine",
    "keinen", "keiner", "nie", "niemals", "ohne", "pas", "jamais", "sans", "aucun", "aucune", "sin", "nunca", "ningún",
    "ninguna", "não", "nem", "sem", "non", "mai", "senza", "niet", "geen", "zonder", "inte", "ikke", "ei",
];

/// Words that carry little by themselves.
const FUNCTION: &[&str] = &[
    "a", "an", "the", "and", "or", "of", "to", "in", "on", "at", "for", "from", "by", "with", "about", "into", "as",
    "is", "are", "am", "was", "were", "be", "been", "being", "do", "does", "did", "has", "have", "had", "having",
    "will", "would", "shall", "should", "can", "could", "may", "might", "must", "ought", "i", "me", "my", "mine", "we",
    "us", "our", "you", "your", "he", "him", "his", "she", "her", "it", "its", "they", "them", "their", "this", "that",
    "these", "those", "there", "here", "what", "which", "who", "whom", "whose", "when", "where", "why", "how", "if",
    "then", "than", "so", "just", "please", "kindly", "hi", "hello", "hey", "thanks", "thank", "ok", "okay", "well",
    "actually", "really", "tell", "know", "let", "want", "need", "like", "help", "going", "some", "any", "also", "too",
    "not", "way",
];

/// Words that show that a text is English.
const ENGLISH: &[&str] = &[
    "the", "of", "and", "to", "is", "are", "how", "what", "my", "you", "with", "can", "where", "when", "why", "who",
    "please", "does", "this", "that", "it", "your", "should", "from", "for", "me", "an", "have", "by", "at", "about",
    "be", "would", "could", "explain", "tell", "give", "show", "set", "book", "write", "play", "need", "good", "make",
    "find", "turn", "remind", "need",
];

/// What is often written without its apostrophe, or in one word.
const APART: &[(&str, &str)] = &[
    ("dont", "do not"),
    ("doesnt", "does not"),
    ("didnt", "did not"),
    ("cant", "can not"),
    ("cannot", "can not"),
    ("wont", "will not"),
    ("isnt", "is not"),
    ("arent", "are not"),
    ("wasnt", "was not"),
    ("werent", "were not"),
    ("shouldnt", "should not"),
    ("couldnt", "could not"),
    ("wouldnt", "would not"),
    ("havent", "have not"),
    ("hasnt", "has not"),
    ("whats", "what is"),
    ("wheres", "where is"),
    ("whos", "who is"),
    ("hows", "how is"),
    ("im", "i am"),
    ("ive", "i have"),
    ("gonna", "going to"),
    ("wanna", "want to"),
];

/// Units: the spellings of one stand together.
const UNITS: &str = "km kilometer kilometers kilometre kilometres/m meter meters metre metres/cm centimeter centimeters centimetre     centimetres/mm millimeter millimeters/mile miles mi/foot feet ft/inch inches/yard yards yd/kg kilo kilos kilogram kilograms/g     gram grams/mg milligram milligrams/lb lbs pound pounds/oz ounce ounces/ton tons tonne tonnes/l liter liters litre litres/ml     milliliter milliliters/gallon gallons/cup cups/tbsp tablespoon tablespoons/tsp teaspoon teaspoons/c celsius/f     fahrenheit/k kelvin/° degree degrees/% percent pct/$ usd dollar dollars/€ eur euro euros/£ gbp quid/¥ jpy yen/cent cents/b byte     bytes/kb kilobyte kilobytes/mb megabyte megabytes/gb gigabyte gigabytes/tb terabyte terabytes/kib/mib/gib/bit bits/ms millisecond     milliseconds/s sec secs seconds/minute minutes min mins/h hr hrs hour hours/day days/week weeks/month months/year years/am     a.m/pm p.m/th st nd rd/mph/kph kmh/hz/khz/mhz/ghz/w watt watts/kw kilowatt kilowatts/v volt volts/x times/people person     persons/px pixel pixels/token tokens/k/million/billion";

/// What is known of a word.
#[derive(Debug, Default)]
struct Known {
    marks: Vec<Mark>,
    unit: Option<u16>,
    denies: bool,
    function: bool,
    english: bool,
    apart: Option<&'static str>,
}

/// The tables above, by word.
static LEXICON: LazyLock<HashMap<&'static str, Known, RandomState>> = LazyLock::new(|| {
    let mut lexicon: HashMap<&'static str, Known, RandomState> = HashMap::default();
    for (class, Class(_, _, members)) in (0_u8..).zip(CLASSES) {
        for (member, words) in members.split('/').enumerate() {
            for word in words.split_whitespace() {
                lexicon.entry(word).or_default().marks.push(Mark { class, member: 1 << member });
            }
        }
    }
    for (unit, words) in (1_u16..).zip(UNITS.split('/')) {
        words.split_whitespace().for_each(|word| lexicon.entry(word).or_default().unit = Some(unit));
    }
    DENY.iter().for_each(|word| lexicon.entry(word).or_default().denies = true);
    FUNCTION.iter().for_each(|word| lexicon.entry(word).or_default().function = true);
    ENGLISH.iter().for_each(|word| lexicon.entry(word).or_default().english = true);
    APART.iter().for_each(|&(word, parts)| lexicon.entry(word).or_default().apart = Some(parts));
    lexicon
});

/// The two words that `text` stands for, with a space between them.
pub(super) fn written_apart(text: &str) -> Option<&'static str> {
    LEXICON.get(text)?.apart
}

/// Whether `text` says, right behind digits, what they count.
pub(super) fn follows_digits(text: &str) -> bool {
    unit(text).is_some()
}

/// The number of the unit that `text` names.
pub(super) fn unit(text: &str) -> Option<u16> {
    LEXICON.get(text)?.unit
}

pub(super) fn denies(text: &str) -> bool {
    LEXICON.get(text).is_some_and(|known| known.denies)
}

pub(super) fn is_function(text: &str) -> bool {
    LEXICON.get(text).is_some_and(|known| known.function)
}

pub(super) fn is_english(text: &str) -> bool {
    LEXICON.get(text).is_some_and(|known| known.english)
}

/// Whether it is a verb among the words that carry little, which tells who does it to whom.
pub(super) fn acts(text: &str) -> bool {
    ["tell", "know", "let", "want", "need", "like", "help", "thank"].contains(&text)
}

/// The marks of a word.
pub(super) fn marks(text: &str) -> &'static [Mark] {
    LEXICON.get(text).map_or(&[], |known| &known.marks)
}

/// What guards a class, and how.
pub(super) fn rule(class: u8) -> Option<(Guard, Rule)> {
    CLASSES.get(usize::from(class)).map(|&Class(guard, rule, _)| (guard, rule))
}

/// A word without the ending of its plural or its gerund, so that `file` is found in `files`.
pub(super) fn stem(text: &str) -> &str {
    let gerund = text.strip_suffix("ing").filter(|stem| stem.len() > 3 && stem.is_ascii());
    if let Some(stem) = gerund {
        return undoubled(stem);
    }
    match text.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => text,
    }
}

/// `runn` is `run`.
fn undoubled(stem: &str) -> &str {
    let bytes = stem.as_bytes();
    match bytes {
        [.., a, b] if a == b && !matches!(b, b'l' | b's' | b'e') => &stem[..stem.len() - 1],
        _ => stem,
    }
}

/// What is left of a word without the prefix that denies it.
pub(super) fn without_prefix(text: &str) -> Option<&str> {
    let rest =
        ["un", "in", "im", "ir", "il", "dis", "non", "de"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    (rest.len() > 3).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_members_enough_and_room_for_them() {
        for Class(guard, rule, words) in CLASSES {
            let members = words.split('/').count();
            assert!(members <= 32, "{words}");
            assert!(members > 1 || *rule == Rule::Same, "{guard}: {words}");
        }
        assert!(CLASSES.len() < 256);
    }

    #[test]
    fn spellings_of_a_unit_are_one_and_units_are_apart() {
        assert_eq!(unit("km"), unit("kilometres"));
        assert_ne!(unit("km"), unit("miles"));
        assert_eq!(unit("house"), None);
    }

    #[test]
    fn stems() {
        for (word, expected) in [
            ("files", "file"),
            ("booking", "book"),
            ("running", "run"),
            ("bus", "bus"),
            ("class", "class"),
            ("king", "king"),
        ] {
            assert_eq!(stem(word), expected);
        }
    }
}
