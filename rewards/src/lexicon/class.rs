//! Classes of words that bound scopes or modify concepts, one bit each, and the words of each: plain data.

pub(super) const VERB: u64 = 1;
pub(super) const SIZE: u64 = 1 << 1;
pub(super) const CHANGE: u64 = 1 << 2;
pub(super) const SIDE: u64 = 1 << 3;
pub(super) const ZONE: u64 = 1 << 4;
pub(super) const PERCEIVE: u64 = 1 << 5;
pub(super) const CHANGE_NOUN: u64 = 1 << 6;
pub(super) const CHANGE_FILLER: u64 = 1 << 7;
pub(super) const OR: u64 = 1 << 8;
pub(super) const AND: u64 = 1 << 9;
pub(super) const COMMA: u64 = 1 << 10;
pub(super) const DETERMINER: u64 = 1 << 11;
pub(super) const CAUSE: u64 = 1 << 12;
pub(super) const NEGATOR: u64 = 1 << 13;
pub(super) const EXCLUDE: u64 = 1 << 14;
pub(super) const FILLER: u64 = 1 << 15;
pub(super) const WITH: u64 = 1 << 16;
pub(super) const ASSOCIATED: u64 = 1 << 17;
pub(super) const PRONOUN: u64 = 1 << 18;
pub(super) const FUNCTION: u64 = 1 << 19;
pub(super) const COLON: u64 = 1 << 20;
pub(super) const SHAPE: u64 = 1 << 21;
pub(super) const ONE_SIDED: u64 = 1 << 22;
pub(super) const FORWARD: u64 = 1 << 23;
pub(super) const LINK: u64 = 1 << 24;
pub(super) const NONE: u64 = 1 << 25;
pub(super) const TENTATIVE: u64 = 1 << 26;
pub(super) const STOP: u64 = 1 << 27;
pub(super) const TRANSITIVE: u64 = 1 << 28;
pub(super) const BODY: u64 = 1 << 29;
/// Denies an ability: "unable to exclude".
pub(super) const UNABLE: u64 = 1 << 30;
/// Denies whatever follows, a denial included: "not absent", "no longer no".
pub(super) const PLAIN_NOT: u64 = 1 << 31;
/// May stand between a denial and the denial that it takes back.
pub(super) const BRIDGE: u64 = 1 << 32;
pub(super) const CERTAIN: u64 = 1 << 33;
pub(super) const UNSURE: u64 = 1 << 34;
pub(super) const DENIAL_NOUN: u64 = 1 << 35;
/// Opens what one is certain of: "that", "whether".
pub(super) const CONTENT: u64 = 1 << 36;
pub(super) const CAUSAL: u64 = 1 << 37;
/// Leads from what is doubted to what it would explain, which is not: "consider pneumonia for the opacity".
pub(super) const EXPLAINS: u64 = 1 << 38;
/// Nouns of what may lie behind a finding: "cause", "differential".
pub(super) const NAMES: u64 = 1 << 39;
pub(super) const OF_FOR: u64 = 1 << 40;
pub(super) const MODAL: u64 = 1 << 41;
pub(super) const DASH: u64 = 1 << 42;
/// What an image shows, as opposed to what it may be.
pub(super) const APPEARANCE: u64 = 1 << 43;
pub(super) const YES: u64 = 1 << 44;
pub(super) const NO: u64 = 1 << 45;
pub(super) const WERE: u64 = 1 << 46;
pub(super) const WHETHER: u64 = 1 << 47;
pub(super) const IF: u64 = 1 << 48;
/// Words of an answer that says no more than yes or no: "there is no sign of it".
pub(super) const ANSWER: u64 = 1 << 49;
pub(super) const LONGER: u64 = 1 << 50;
pub(super) const CONSIDERED: u64 = 1 << 51;
/// Joins a list of causes to what they would explain: "considerations for the opacity include".
pub(super) const INCLUDES: u64 = 1 << 52;
pub(super) const MUST: u64 = 1 << 53;
pub(super) const BY: u64 = 1 << 54;

/// Words in lower case, separated by blanks.
pub(super) const TABLE: &[(u64, &str)] = &[
    (VERB, "is are was were has have had remain persist demonstrate show appear exist continue lie terminate reside"),
    (
        SIZE,
        "tiny trace minimal small mild moderate large severe massive slight mildly slightly moderately severely \
         markedly marked minimally little extensive huge big moderate sized gross",
    ),
    (
        CHANGE,
        "unchanged stable increased increasing decreased decreasing worsened worsening improved improving \
         persistent new resolving enlarging known chronic residual recurrent progressive larger smaller increase \
         decrease development newly improvement",
    ),
    (SIDE, "left right bilateral both leftward rightward biapical bibasilar bibasal unilateral l r"),
    (
        ZONE,
        "upper middle lower mid base basilar basal apical apex perihilar retrocardiac lingular hilar central \
         peripheral costophrenic lobar apicolateral lateral medial posterior anterior suprahilar infrahilar \
         subpleural bibasilar bibasal biapical lingula",
    ),
    (
        SHAPE,
        "patchy hazy linear confluent subtle faint dense ill defined rounded spiculated calcified acute healed \
         old displaced nondisplaced subsegmental segmental discoid streaky loculated layering bandlike reticular \
         heterogeneous homogeneous interstitial pleural pulmonary airspace vascular compressive platelike healing \
         subacute nodular focal diffuse multifocal",
    ),
    (
        PERCEIVE,
        "seen identified visualized visible present evident demonstrated noted appreciated apparent detected \
         observed found shown discernible recognized perceived depicted delineated displayed discerned \
         visualised confirmed supported substantiated corroborated",
    ),
    (
        CHANGE_NOUN,
        "change increase decrease progression improvement worsening difference alteration growth resolution \
         deterioration enlarging increasing decreasing larger smaller worse better reduction expansion",
    ),
    (
        CHANGE_FILLER,
        "significant interval appreciable definite substantial relevant major further acute apparent real gross \
         obvious marked short term evidence of other notable meaningful clear overall great measurable \
         radiographic convincing important visible discernible considerable a any and or",
    ),
    (OR, "or nor"),
    (AND, "and & +"),
    (COMMA, ", ( ) – — -"),
    (DETERMINER, "the a an there this these that those his her"),
    (CAUSE, "after following from due secondary because since post status related given through via beyond owing"),
    (
        NEGATOR,
        "not cannot cant unable difficult hard impossible never without couldnt challenging nor no limit limited \
         preclude lack absence",
    ),
    (EXCLUDE, "exclude excluded excluding exclusion dismiss dismissed discount discounted"),
    (UNABLE, "inability unable failure fail failed inadequate insufficient"),
    (PLAIN_NOT, "not no never without cannot cant isnt arent hasnt havent wasnt"),
    (
        BRIDGE,
        "longer means true that there is are was were be been a an the yet entirely completely definitively definitely fully \
         really actually quite wholly totally have has any",
    ),
    (
        CERTAIN,
        "confirm confirmed confirmable establish established certain sure prove proven assure assured guarantee \
         guaranteed say said clear verify verified determine determined definite state stated conclude concluded \
         evident ascertain ascertained convinced confident persuaded case true",
    ),
    (UNSURE, "uncertain unclear unproven unconfirmed doubtful unsure questionable uncertainty"),
    (DENIAL_NOUN, "absence lack resolution clearing clearance disappearance"),
    (CONTENT, "that whether if the of to as"),
    (
        CAUSAL,
        "explain explaining explanation account accounting cause causing source responsible reason underlie \
         underlying contribute contributing caused etiology",
    ),
    (
        EXPLAINS,
        "for given causing accounting explaining explain account view light presence context basis cause source \
         explanation",
    ),
    (NAMES, "cause explanation consideration differential etiology possibility diagnosis"),
    (OF_FOR, "of for"),
    (MODAL, "can cannot cant may might could"),
    (DASH, "– — -"),
    (
        APPEARANCE,
        "opacity opacification density consolidation infiltrate nodule mass lesion haziness nodularity shadowing",
    ),
    (YES, "yes present positive affirmative"),
    (NO, "no none not negative absent nil nope never"),
    (WERE, "were"),
    (WHETHER, "whether if"),
    (IF, "if"),
    (INCLUDES, "include including comprise represent be between :"),
    (MUST, "should must need ought"),
    (BY, "by"),
    (LONGER, "longer means mean"),
    (CONSIDERED, "consideration possibility concern worry"),
    (
        ANSWER,
        "there is are was were it this that they them such sign evidence any here one of for on the film image study \
         definitely now today yes and i we do does did can could see be",
    ),
    (
        FILLER,
        "of the in size is are in and mildly moderately slightly markedly grossly overall visualized otherwise \
         both within not enlarged normal stable now also again appear remain the size contour a",
    ),
    (WITH, "with"),
    (FORWARD, "no without"),
    (NONE, "none nil"),
    (TENTATIVE, "possibly probably likely perhaps maybe potentially presumably conceivably"),
    (TRANSITIVE, "to for of represent reflect include indicate due representing reflecting about"),
    (
        BODY,
        "pleural pulmonary rib lung cardiac heart mediastinal vascular venous interstitial alveolar airspace \
         vertebral hilar pericardial osseous bony aortic cardiomediastinal cardiopulmonary intrathoracic \
         parenchymal bone mediastinum thoracic ventricular atrial",
    ),
    (STOP, ". ; ! ?"),
    (LINK, "of size visualized in"),
    (ASSOCIATED, "associated consistent compatible concordant along keeping"),
    (PRONOUN, "it this these they one which that those"),
    (COLON, ":"),
    (ONE_SIDED, "left right remaining otherwise remainder rest elsewhere upper lower apex apices"),
    (
        FUNCTION,
        "mm cm the a an of in on at to and or with no not is are was were be been there this that these those by for \
         from as , . ; : ( ) / ? ! & + – — has have had may might could can which it its also again now when \
         than into onto nor without neither within over under during through per seen noted identified present \
         patient compared comparison prior study previous since projecting but however although while likely \
         possible possibly probably probable suggest represent reflect consistent compatible evidence finding \
         sign interval size setting",
    ),
];
