//! The cue phrases of negation, uncertainty and scope, headings, and what is said of body parts: plain data.
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
    /// Supposes what follows ("if", "in case of"), whatever is said of it then.
    Condition,
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
         failed to reveal|evacuation of|no sign of|no evidence of|no evidence for|little evidence of|little evidence for|little to suggest|little sign of|exclude the presence of",
    ),
    (
        Cue::DenyBack,
        "is absent|are absent|has resolved|have resolved|has completely resolved|have completely resolved|\
         is resolved|have now resolved|has now resolved|completely resolved|has cleared|have cleared|\
         has since resolved|have since resolved|none|has been removed|have been removed|was removed|were removed|\
         is removed|been removed|has been extubated|negative|has disappeared|have disappeared|disappeared|nope|\
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
         favored to reflect|perhaps|maybe|possibility of|potential|potentially|consideration of|\
         correlate for|clinical correlation for|\
         correlate clinically for|felt to represent|felt to reflect|thought to represent|thought to reflect|\
         thought to be|believed to represent|less likely|unlikely|compatible with possible|appear to represent|\
         appears to be|may relate to|may be related to|likely related to|?|indeterminate for|versus less likely|\
         cannot be certain about|uncertain|presumptive|conceivably|hint of|seem|raising question of|questioned|\
         tentative|would favor|most consistent with|impression of|clinically suspected|not certain|\
         uncertain whether|unclear whether|unclear if|felt to be|believed to be|considered to be|deemed to be|\
         presumed to be|assumed to be|suspected to be|suspected of being|judged to be|believed to reflect|\
         of concern for|is of concern for|may or may not be|may or may not represent|be suspected|doubtful|is doubtful|thought to|felt to|believed to|not diagnostic of|not specific for|appear to reflect|appear to be due to|hardly any",
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
         differential diagnosis is|differential is|possibility include|etiology include|cause include|consider|to consider|\
         cannot be distinguished between|cannot distinguish between|cannot differentiate between|lie between",
    ),
    (
        Cue::Silent,
        "evaluate for|evaluation for|evaluation of|evaluate|eval for|eval|assess for|assess|assessment for|\
         assessment of|looking for|to look for|r / o|ro|please evaluate|please assess|history of|h / o|hx of|hx|\
         known history of|past medical history|clinical concern for|clinical concern of|clinical suspicion of|\
         clinical suspicion for|concern clinically for|screening for|screen for|risk of|risk for|\
         at risk for|check for|follow up of|follow up for|followup for|followup of|f / u|to evaluate for|\
         to assess for|query clinically|reason for exam|clinical question|clinical history of|being treated for|\
         treated for|treat for|treatment for|therapy for|presenting with|admitted with|admitted for|question clinically|\
         past history of|personal history of|prior history of|family history of|monitor for|monitoring for|\
         surveillance for|to detect|search for|investigate for|remote history of|work up for|workup for|\
         suspected clinically|to ensure resolution of|to document resolution of|to confirm resolution of|\
         referred for|request to exclude|clinical diagnosis of|diagnosed with|presents with|in search of",
    ),
    (
        Cue::Condition,
        "if|should|in case of|in case|in the event of|in the event that|as long as|as long as there is no|\
         provided that|provided there is no|assuming|if there is no|if no|so long as",
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
         no question|not the only|not just|no longer the only|not a new|not new|should prompt|should raise|should suggest|near total resolution of|known",
    ),
    (
        Cue::Stop,
        ";|but|however|although|though|while|whereas|yet|except|except for|aside from|apart from|other than|\
         despite|.|nevertheless|nonetheless|with the exception of|albeit|even though|!|otherwise|except that|\
         save for",
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
