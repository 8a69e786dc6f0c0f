//! The cue phrases of negation, uncertainty and scope, and the word classes that bound scopes: plain data.
//!
//! The idea is NegEx's (Chapman et al. 2001) with CheXpert's uncertainty; the phrases and rules are our own.

/// What a cue does to the concepts in its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// Denies what follows ("no", "without").
    Deny,
    /// Denies what precedes ("is absent", "has resolved").
    DenyBack,
    /// Denies what precedes, or what follows when nothing precedes ("not seen", "absent").
    DenyEither,
    /// Makes uncertain what follows, or what precedes when nothing follows ("likely", "cannot exclude").
    Doubt,
    /// Makes uncertain what precedes ("is a consideration").
    DoubtBack,
    /// Makes uncertain both sides ("versus").
    DoubtBoth,
    /// Makes uncertain all that is listed after it, "and" included ("the differential includes").
    DoubtList,
    /// Asserts nothing of what follows ("evaluate for", "history of").
    Silent,
    /// Looks like a cue and is none ("no change").
    Mask,
    /// Ends every scope and starts a new clause ("but").
    Stop,
}

pub(super) const CUES: &[(Cue, &str)] = &[
    (
        Cue::Deny,
        "no|without|w / o|wo|negative for|free of|free from|clear of|absence of|lack of|lacking|denies|deny|\
         neither|nor|rather than|instead of|as opposed to|not|resolution of|interval resolution of|\
         complete resolution of|clearing of|clearance of|disappearance of|removal of|interval removal of|\
         fails to demonstrate|fail to show|fails to reveal|fail to demonstrate|never|none of|devoid of|\
         status post removal of|s / p removal of|excludes|argue against|argues against|interval extubation|\
         has been cleared of|unlikely to be due to|cannot see|cannot identify|cant see|without any|\
         failed to reveal|evacuation of|no sign of|no evidence of|no evidence for|exclude the presence of",
    ),
    (
        Cue::DenyBack,
        "is absent|are absent|has resolved|have resolved|has completely resolved|have completely resolved|\
         is resolved|have now resolved|has now resolved|completely resolved|has cleared|have cleared|\
         has since resolved|have since resolved|none|has been removed|have been removed|was removed|were removed|\
         is removed|been removed|has been extubated|negative|has disappeared|have disappeared|disappeared|\
         has been withdrawn|has gone|is gone|are gone|nil|has entirely resolved|has fully resolved|\
         have fully resolved|fully resolved|has been taken out|removed in the interval|have entirely resolved|\
         vanished|has vanished|discontinued|is not a concern|is negative|are negative",
    ),
    (Cue::DenyEither, "resolved|absent|cleared|removed|no longer|no longer seen|no longer present|no longer visible"),
    (
        Cue::Doubt,
        "is unlikely|are unlikely|cannot r / o|cant r / o|can not r / o|is possible|are possible|remain possible|is likely|are likely|is suspected|are suspected|is questioned|\
         are questioned|is probable|is favored|are favored|is presumed|is felt likely|is most likely|\
         are most likely|if any|possible|possibly|probable|probably|likely|most likely|likely representing|\
         likely reflecting|likely due to|may|may be|may represent|may reflect|may be due to|might|\
         might represent|could|could represent|could reflect|could be|can represent|may indicate|presumed|\
         presumably|suspected|suspect|suspicious for|suspicious of|suspicion of|suspicion for|concerning for|\
         concern for|concern of|concern about|concerned for|raise concern for|raising concern for|\
         raise the possibility of|raising the possibility of|raise the question of|raises suspicion for|\
         worrisome for|worrying for|suggesting|suggestive of|suggest|suggestion of|suggested|question of|\
         questionable|question|query|equivocal|borderline|favor|favored|favoring|favored to represent|\
         favored to reflect|perhaps|maybe|possibility of|potential|potentially|\
         consider|to consider|correlate for|clinical correlation for|\
         correlate clinically for|felt to represent|felt to reflect|thought to represent|thought to reflect|\
         thought to be|believed to represent|less likely|unlikely|compatible with possible|appear to represent|\
         appears to be|may relate to|may be related to|likely related to|?|indeterminate for|versus less likely|\
         cannot be certain about|uncertain|presumptive|conceivably|hint of|seem|raising question of|questioned|\
         tentative|would favor|most consistent with|impression of|clinically suspected|not certain|\
         uncertain whether|unclear whether|unclear if|felt to be|believed to be|considered to be|deemed to be|\
         presumed to be|assumed to be|suspected to be|suspected of being|judged to be|believed to reflect|\
         of concern for|is of concern for|may or may not be|may or may not represent|be suspected",
    ),
    (
        Cue::DoubtBack,
        "is a consideration|are considerations|should be considered|could be considered|to be considered|\
         is in the differential|in the differential|is a possibility|remains a possibility|is equivocal|\
         is uncertain|are uncertain|felt less likely|is less likely|is a concern|\
         remains a concern|is of concern|is conceivable|must be considered|may be present|might be present|\
         could be present|would be a consideration|is also possible|is also a consideration|is not definite|\
         is questionable|may also be present|can be considered|should also be considered|\
         in the differential diagnosis|may coexist|may be considered|would be possible|is felt unlikely|\
         is considered unlikely|seems unlikely|appears unlikely|is the main consideration|\
         is difficult to confirm|is thought likely|is indeterminate|could also be present|\
         remains in the differential|differential consideration|are suggested|is suggested|in question",
    ),
    (Cue::DoubtBoth, "versus|vs|favored over|more likely than"),
    (
        Cue::DoubtList,
        "differential include|differential diagnosis include|differential consideration include|\
         consideration include|differential would include|differential of|differential diagnosis of|\
         differential diagnosis is|differential is|possibility include|etiology include|cause include|\
         cannot be distinguished between|cannot distinguish between|cannot differentiate between|lie between",
    ),
    (
        Cue::Silent,
        "evaluate for|evaluation for|evaluation of|evaluate|eval for|eval|assess for|assess|assessment for|\
         assessment of|looking for|to look for|r / o|ro|please evaluate|please assess|history of|h / o|hx of|hx|\
         known history of|past medical history|clinical concern for|clinical concern of|clinical suspicion of|\
         clinical suspicion for|concern clinically for|if|should|screening for|screen for|risk of|risk for|\
         at risk for|check for|follow up of|follow up for|followup for|followup of|f / u|to evaluate for|\
         to assess for|query clinically|reason for exam|clinical question|clinical history of|being treated for|\
         treated for|treatment for|therapy for|presenting with|admitted with|admitted for|question clinically|\
         past history of|personal history of|prior history of|family history of|monitor for|monitoring for|\
         surveillance for|to detect|search for|investigate for|remote history of|work up for|workup for|\
         suspected clinically|to ensure resolution of|to document resolution of|to confirm resolution of|\
         referred for|request to exclude|clinical diagnosis of|diagnosed with|presents with|in search of|\
         in case of|in case|in the event of|in the event that|as long as|as long as there is no|provided that|\
         provided there is no|assuming|if there is no|if no|so long as",
    ),
    (
        Cue::Mask,
        "of uncertain significance|of uncertain etiology|of uncertain nature|of unclear etiology|\
         of indeterminate age|no change|no doubt|not only|not unexpected|not uncommon|not unusual|\
         not insignificant|not surprising|not without|without change|not resolved|not completely resolved|\
         incompletely resolved|partially resolved|nearly resolved|near complete resolution of|\
         near complete resolution|partial resolution of|partial resolution|near resolution of|\
         incomplete resolution of|incomplete resolution|almost completely resolved|almost resolved|\
         nearly completely resolved|has not resolved|have not resolved|not fully resolved|not yet resolved|\
         not entirely resolved|has not completely resolved|largely resolved|mostly resolved|partial clearing of|\
         partial clearing|partially cleared|not cleared|has partially resolved|have partially resolved|\
         has nearly resolved|have nearly resolved|has nearly completely resolved|has largely resolved|\
         has almost completely resolved|has almost resolved|no interval resolution of|without resolution of|\
         no longer enlarging|no small|without resolution|not significantly changed|not changed|\
         not substantially changed|not appreciably changed|not removed|without significant change|\
         without interval change|unchanged|may be followed|not been removed|nearly cleared|should be|\
         should be repositioned|should be advanced|should be retracted|should be withdrawn|partly resolved|\
         partly cleared|resolving|no difference|could be advanced|could be retracted|may be advanced|\
         may be retracted|no progression|no improvement|no significant interval change|no less|not negligible|\
         mostly cleared|as described|cannot be denied|without doubt|largely cleared|no resolution of|\
         partial removal of|may be secondary to|may be accentuated|may be exaggerated|may be magnified|\
         may be partly due|likely accentuated|not absent|subtotal resolution of|nearly complete resolution of|\
         no question|not the only|not just|no longer the only|near total resolution of|known",
    ),
    (
        Cue::Stop,
        ";|but|however|although|though|while|whereas|yet|except|except for|aside from|apart from|other than|\
         despite|.|nevertheless|nonetheless|with the exception of|albeit|even though|!|otherwise|except that|\
         save for",
    ),
];

/// Classes of words that bound scopes or modify concepts. One bit each.
pub(super) mod class {
    pub const VERB: u64 = 1;
    pub const SIZE: u64 = 1 << 1;
    pub const CHANGE: u64 = 1 << 2;
    pub const SIDE: u64 = 1 << 3;
    pub const ZONE: u64 = 1 << 4;
    pub const PERCEIVE: u64 = 1 << 5;
    pub const CHANGE_NOUN: u64 = 1 << 6;
    pub const CHANGE_FILLER: u64 = 1 << 7;
    pub const OR: u64 = 1 << 8;
    pub const AND: u64 = 1 << 9;
    pub const COMMA: u64 = 1 << 10;
    pub const DETERMINER: u64 = 1 << 11;
    pub const CAUSE: u64 = 1 << 12;
    pub const NEGATOR: u64 = 1 << 13;
    pub const EXCLUDE: u64 = 1 << 14;
    pub const FILLER: u64 = 1 << 15;
    pub const WITH: u64 = 1 << 16;
    pub const ASSOCIATED: u64 = 1 << 17;
    pub const PRONOUN: u64 = 1 << 18;
    pub const FUNCTION: u64 = 1 << 19;
    pub const COLON: u64 = 1 << 20;
    pub const SHAPE: u64 = 1 << 21;
    pub const ONE_SIDED: u64 = 1 << 22;
    pub const FORWARD: u64 = 1 << 23;
    pub const LINK: u64 = 1 << 24;
    pub const NONE: u64 = 1 << 25;
    pub const TENTATIVE: u64 = 1 << 26;
    pub const STOP: u64 = 1 << 27;
    pub const TRANSITIVE: u64 = 1 << 28;
    pub const BODY: u64 = 1 << 29;
    /// Denies an ability: "unable to exclude".
    pub const UNABLE: u64 = 1 << 30;
    /// Denies whatever follows, a denial included: "not absent", "no longer no".
    pub const PLAIN_NOT: u64 = 1 << 31;
    /// May stand between a denial and the denial that it takes back.
    pub const BRIDGE: u64 = 1 << 32;
    pub const CERTAIN: u64 = 1 << 33;
    pub const UNSURE: u64 = 1 << 34;
    pub const DENIAL_NOUN: u64 = 1 << 35;
    /// Opens what one is certain of: "that", "whether".
    pub const CONTENT: u64 = 1 << 36;
    pub const CAUSAL: u64 = 1 << 37;
    /// Leads from what is doubted to what it would explain, which is not: "consider pneumonia for the opacity".
    pub const EXPLAINS: u64 = 1 << 38;
    pub const NAMES: u64 = 1 << 39;
    pub const OF_FOR: u64 = 1 << 40;
    pub const MODAL: u64 = 1 << 41;
    pub const DASH: u64 = 1 << 42;
    /// What an image shows, as opposed to what it may be.
    pub const APPEARANCE: u64 = 1 << 43;
    pub const YES: u64 = 1 << 44;
    pub const NO: u64 = 1 << 45;
    pub const WERE: u64 = 1 << 46;
    pub const WHETHER: u64 = 1 << 47;
    pub const IF: u64 = 1 << 48;
    /// Words of an answer that says no more than yes or no: "there is no sign of it".
    pub const ANSWER: u64 = 1 << 49;
}

pub(super) const CLASSES: &[(u64, &str)] = &[
    (
        class::VERB,
        "is are was were has have had remain persist demonstrate show appear exist continue lie terminate reside",
    ),
    (
        class::SIZE,
        "tiny trace minimal small mild moderate large severe massive slight mildly slightly moderately severely \
         markedly marked minimally little extensive huge big moderate sized gross",
    ),
    (
        class::CHANGE,
        "unchanged stable increased increasing decreased decreasing worsened worsening improved improving \
         persistent new resolving enlarging known chronic residual recurrent progressive larger smaller increase \
         decrease development newly improvement",
    ),
    (class::SIDE, "left right bilateral both leftward rightward biapical bibasilar bibasal unilateral l r"),
    (
        class::ZONE,
        "upper middle lower mid base basilar basal apical apex perihilar retrocardiac lingular hilar central \
         peripheral costophrenic lobar apicolateral lateral medial posterior anterior suprahilar infrahilar \
         subpleural bibasilar bibasal biapical lingula",
    ),
    (
        class::SHAPE,
        "patchy hazy linear confluent subtle faint dense ill defined rounded spiculated calcified acute healed \
         old displaced nondisplaced subsegmental segmental discoid streaky loculated layering bandlike reticular \
         heterogeneous homogeneous interstitial pleural pulmonary airspace vascular compressive platelike healing \
         subacute nodular focal diffuse multifocal",
    ),
    (
        class::PERCEIVE,
        "seen identified visualized visible present evident demonstrated noted appreciated apparent detected \
         observed found shown discernible recognized perceived depicted delineated displayed discerned \
         visualised confirmed",
    ),
    (
        class::CHANGE_NOUN,
        "change increase decrease progression improvement worsening difference alteration growth resolution \
         deterioration enlarging increasing decreasing larger smaller worse better reduction expansion",
    ),
    (
        class::CHANGE_FILLER,
        "significant interval appreciable definite substantial relevant major further acute apparent real gross \
         obvious marked short term evidence of other notable meaningful clear overall great measurable \
         radiographic convincing important visible discernible considerable a any and or",
    ),
    (class::OR, "or nor"),
    (class::AND, "and & +"),
    (class::COMMA, ", ( ) – — -"),
    (class::DETERMINER, "the a an there this these that those his her"),
    (
        class::CAUSE,
        "after following from due secondary because since post status related given through via beyond owing",
    ),
    (
        class::NEGATOR,
        "not cannot cant unable difficult hard impossible never without couldnt challenging nor no limit limited \
         preclude lack absence",
    ),
    (class::EXCLUDE, "exclude excluded excluding exclusion dismiss dismissed discount discounted"),
    (class::UNABLE, "inability unable failure fail failed inadequate insufficient"),
    (class::PLAIN_NOT, "not no never without cannot cant isnt arent hasnt havent wasnt"),
    (
        class::BRIDGE,
        "longer true that there is are was were be been a an the yet entirely completely definitively definitely fully \
         really actually quite wholly totally have has any",
    ),
    (
        class::CERTAIN,
        "confirm confirmed confirmable establish established certain sure prove proven assure assured guarantee \
         guaranteed say said clear verify verified determine determined definite state stated conclude concluded \
         evident ascertain ascertained",
    ),
    (class::UNSURE, "uncertain unclear unproven unconfirmed doubtful unsure questionable"),
    (class::DENIAL_NOUN, "absence lack resolution clearing clearance disappearance"),
    (class::CONTENT, "that whether if the of to"),
    (
        class::CAUSAL,
        "explain explaining explanation account accounting cause causing source responsible reason underlie \
         underlying contribute contributing",
    ),
    (
        class::EXPLAINS,
        "for given causing accounting explaining explain account view light presence context basis cause source \
         explanation",
    ),
    (class::NAMES, "cause explanation consideration differential etiology possibility diagnosis"),
    (class::OF_FOR, "of for"),
    (class::MODAL, "can cannot cant may might could"),
    (class::DASH, "– — -"),
    (
        class::APPEARANCE,
        "opacity opacification density consolidation infiltrate nodule mass lesion haziness nodularity shadowing",
    ),
    (class::YES, "yes present positive affirmative"),
    (class::NO, "no none not negative absent nil nope never"),
    (class::WERE, "were"),
    (class::WHETHER, "whether if"),
    (class::IF, "if"),
    (
        class::ANSWER,
        "there is are was were it this that they them such sign evidence any here one of for on the film image study \
         definitely now today yes and",
    ),
    (
        class::FILLER,
        "of the in size is are in and mildly moderately slightly markedly grossly overall visualized otherwise \
         both within not enlarged normal stable now also again appear remain the size contour a",
    ),
    (class::WITH, "with"),
    (class::FORWARD, "no without"),
    (class::NONE, "none nil"),
    (class::TENTATIVE, "possibly probably likely perhaps maybe potentially presumably conceivably"),
    (class::TRANSITIVE, "to for of represent reflect include indicate due representing reflecting about"),
    (
        class::BODY,
        "pleural pulmonary rib lung cardiac heart mediastinal vascular venous interstitial alveolar airspace \
         vertebral hilar pericardial osseous bony aortic cardiomediastinal cardiopulmonary intrathoracic \
         parenchymal bone mediastinum thoracic ventricular atrial",
    ),
    (class::STOP, ". ; ! ?"),
    (class::LINK, "of size visualized in"),
    (class::ASSOCIATED, "associated consistent compatible concordant along keeping"),
    (class::PRONOUN, "it this these they one which that those"),
    (class::COLON, ":"),
    (class::ONE_SIDED, "left right remaining otherwise remainder rest elsewhere upper lower apex apices"),
    (
        class::FUNCTION,
        "mm cm the a an of in on at to and or with no not is are was were be been there this that these those by for \
         from as , . ; : ( ) / ? ! & + – — has have had may might could can which it its also again now when \
         than into onto nor without neither within over under during through per seen noted identified present \
         patient compared comparison prior study previous since projecting but however although while likely \
         possible possibly probably probable suggest represent reflect consistent compatible evidence finding \
         sign interval size setting",
    ),
];

/// Headings whose section asserts nothing, up to the next heading.
pub(super) const SILENT_HEADINGS: &str = "indication|clinical indication|history|clinical history|clinical information|reason for exam|\
         reason for examination|reason for study|reason for the exam|clinical statement|clinical data|technique|\
         comparison|exam|examination|procedure|study|type of exam|medical history|clinical question|indications|\
         clinical details|clinical context|reason|hx|question|request|clinical background|patient history|\
         clinical indications|reason for this examination|reason for this exam|compared to|exam type|\
         history and indication|history / indication|indication / history|recommendation|past medical history|\
         presenting complaint|clinical|clinical notes|order";

/// Headings whose section asserts what it says.
pub(super) const SPEAKING_HEADINGS: &str = "finding|impression|conclusion|report|interpretation|result|opinion|summary|final report|\
         finding and impression|lung|heart|pleura|bone|mediastinum|line and tube|cardiovascular|chest|\
         support device|device|findings / impression|assessment|finding / impression|conclusions|addendum";

/// States of a body part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    Normal,
    Enlarged,
    Borderline,
    /// "clear"
    Clear,
    /// "intact", "sharp"
    Intact,
    /// "blunted"
    Blunted,
    /// "congested", "engorged"
    Congested,
    /// "opacified", "hazy"
    Hazy,
}

pub(super) const PREDICATES: &[(Predicate, &str)] = &[
    (
        Predicate::Normal,
        "normal|unremarkable|within normal limit|wnl|top normal|upper limit of normal|upper limit normal|\
         upper normal|upper range of normal|high normal|normal in size|normal size|nonenlarged|\
         within normal range|at the upper limit of normal|normal limit|within limit|upper limits of normal|\
         near normal|nondilated|normal for age|preserved",
    ),
    (
        Predicate::Enlarged,
        "enlarged|increased size of|increase in|enlargement of|enlargement|widened|widening of|widening|dilated|increased in size|big|\
         prominent|prominence of|prominence|larger than normal|globular|dilatation|wide|increased|enlarging|\
         abnormally large|large|broadened|oversized|bulky|above normal|more enlarged|has enlarged|\
         greater than normal|enlarge",
    ),
    (
        Predicate::Borderline,
        "borderline|borderline enlarged|borderline size|borderline in size|borderline enlargement of|\
         borderline enlargement|borderline prominent|borderline cardiac enlargement|borderline large|\
         possibly enlarged|borderline widened|borderline normal|borderline widening of|borderline heart size|\
         borderline to mildly enlarged",
    ),
    (Predicate::Clear, "clear|well aerated and clear|grossly clear|remain clear|clear bilaterally"),
    (Predicate::Intact, "intact|sharp|sharply defined|well defined"),
    (Predicate::Blunted, "blunted|blunting of|blunting|obscured|obliterated|obliteration of|obliteration|indistinct"),
    (
        Predicate::Congested,
        "congested|engorged|engorgement of|engorgement|redistribution of|cephalized|congestion of|plethoric|\
         redistributed",
    ),
    (Predicate::Hazy, "opacified|hazy"),
];
