//! The concepts of the lexicon and the phrases that name them: plain data.
//!
//! Words are written in lower case and in the singular; spelling, plurals and hyphens are normalised when read.

use crate::{entity::EntityType, labels::Observation};

/// What a concept is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A finding, positive when asserted.
    Finding,
    /// A support device.
    Device,
    /// A statement that the study is normal ("normal chest").
    Normal,
    /// A part of the body, whose state a predicate may tell ("heart").
    Subject(Subject),
    /// A part of the body without a predicate of interest.
    Anatomy,
    /// The end of a device ("extubated"), absent when asserted.
    Removal,
    /// Words that look like a concept and are none ("pleural line").
    Ignore,
}

/// Parts of the body whose normal or abnormal state is a finding or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Heart,
    Mediastinum,
    Cardiomediastinum,
    Lungs,
    Pleura,
    Vessels,
    Bones,
}

/// One concept.
#[derive(Debug)]
pub(super) struct Concept {
    /// The seed of its embedding and its name in messages.
    pub name: &'static str,
    pub role: Role,
    /// The RaTEScore type when present.
    pub kind: EntityType,
    pub labels: &'static [Observation],
    /// Concepts of one family are half alike.
    pub family: &'static str,
    /// Separated by `|`.
    pub phrases: &'static str,
}

use EntityType::{Abnormality, Anatomy as Body, Disease};
use Observation::{
    Atelectasis, Cardiomegaly, Consolidation, Edema, EnlargedCardiomediastinum, Fracture, LungLesion, LungOpacity,
    PleuralEffusion, PleuralOther, Pneumonia, Pneumothorax, SupportDevices,
};

const fn finding(
    name: &'static str,
    kind: EntityType,
    labels: &'static [Observation],
    family: &'static str,
    phrases: &'static str,
) -> Concept {
    Concept {
        name,
        role: Role::Finding,
        kind,
        labels,
        family,
        phrases,
    }
}

const fn device(name: &'static str, phrases: &'static str) -> Concept {
    Concept {
        name,
        role: Role::Device,
        kind: Abnormality,
        labels: &[SupportDevices],
        family: "device",
        phrases,
    }
}

const fn body(name: &'static str, role: Role, phrases: &'static str) -> Concept {
    Concept {
        name,
        role,
        kind: Body,
        labels: &[],
        family: "",
        phrases,
    }
}

pub(super) const CONCEPTS: &[Concept] = &[
    finding(
        "enlarged cardiomediastinum",
        Disease,
        &[EnlargedCardiomediastinum],
        "",
        "mediastinal widening|widened mediastinum|widening of the mediastinum|widening of the superior mediastinum|\
         widened mediastinal contour|widened mediastinal silhouette|mediastinal enlargement|enlarged mediastinum|\
         mediastinal prominence|prominence of the mediastinum|widened superior mediastinum|\
         enlargement of the mediastinum|widened cardiomediastinal silhouette|enlarged cardiomediastinum|\
         widened cardiomediastinum|cardiomediastinal enlargement|cardiomediastinal widening|mediastinal mass|\
         mediastinal hematoma|superior mediastinal widening|widened upper mediastinum",
    ),
    finding(
        "cardiomegaly",
        Disease,
        &[Cardiomegaly],
        "",
        "cardiomegaly|cardiac enlargement|heart enlargement|cardiac hypertrophy|enlargement of the heart|\
         enlargement of heart|ventricular enlargement|left ventricular enlargement|right ventricular enlargement|\
         biventricular enlargement|enlargement of the left ventricle|atrial enlargement|left atrial enlargement|\
         right atrial enlargement|four chamber enlargement|cardiac dilatation|cardiac dilation|cardiomegally|megalocardia",
    ),
    finding(
        "lung opacity",
        Abnormality,
        &[LungOpacity],
        "airspace",
        "opacity|opacification|opacified|infiltrate|infiltration|infiltrative change|airspace disease|air space disease|\
         airspace process|air space process|haziness|hazy density|density|airspace density|ground glass|\
         groundglass|interstitial marking|increased interstitial marking|interstitial prominence|\
         interstitial thickening|reticulation|reticular pattern|reticular marking|interstitial pattern|whiteout|white out|\
         parenchymal disease|interstitial disease|interstitial lung disease|interstitial abnormality|\
         parenchymal abnormality|increased lung marking|shadowing|parenchymal density|interstitial change|\
         peribronchial cuffing|peribronchial thickening|bronchial wall thickening|alveolar disease|alveolar process|\
         interstitial process|airspace change|air space change|air space density",
    ),
    finding(
        "lung lesion",
        Disease,
        &[LungLesion],
        "",
        "nodule|nodularity|mass|hilar mass|mass lesion|lung lesion|pulmonary lesion|lesion|neoplasm|neoplastic process|tumor|malignancy|\
         malignant process|cancer|carcinoma|metastasis|metastatic disease|cavitary lesion|cavitation|lung cancer|\
         granuloma|cavity|bronchogenic carcinoma|nodular lesion|space occupying lesion|micronodule|adenocarcinoma|\
         cavitating lesion|coin lesion|rounded lesion|granulomatous disease",
    ),
    finding(
        "nodular opacity",
        Abnormality,
        &[LungLesion, LungOpacity],
        "lung lesion",
        "nodular opacity|nodular density|nodular opacification|mass like opacity|masslike opacity|rounded opacity|\
         mass like density|masslike density|round opacity|nodule like opacity|mass like consolidation",
    ),
    finding(
        "edema",
        Disease,
        &[Edema],
        "",
        "edema|pulmonary edema|interstitial edema|alveolar edema|interstitial pulmonary edema|alveolar pulmonary edema|\
         vascular congestion|pulmonary vascular congestion|pulmonary venous congestion|venous congestion|\
         pulmonary congestion|congestion|heart failure|congestive heart failure|congestive failure|chf|cardiac failure|\
         left heart failure|cardiac decompensation|decompensated heart failure|fluid overload|volume overload|\
         hydrostatic edema|cardiogenic edema|kerley line|kerley b line|kerley a line|septal line|\
         pulmonary venous hypertension|vascular engorgement|pulmonary vascular engorgement|venous engorgement|\
         engorgement of the pulmonary vasculature|engorgement of pulmonary vessels|cephalization|\
         vascular redistribution|pulmonary vascular redistribution|congestive change|vascular indistinctness|\
         vascular plethora|pulmonary hyperemia|engorged pulmonary vasculature|vascular prominence|\
         pulmonary vascular prominence|prominence of the pulmonary vasculature|congested vasculature|\
         engorged vasculature|upper lobe diversion|upper lobe venous diversion|flash edema|cephalisation|\
         indistinctness of the pulmonary vasculature|indistinct pulmonary vasculature|indistinct pulmonary vessel|\
         septal thickening|fluid excess|hypervolemia|lvf|lv failure|left ventricular failure|congested lung",
    ),
    finding(
        "consolidation",
        Abnormality,
        &[Consolidation],
        "airspace",
        "consolidation|consolidative change|consolidative process|consolidative|consolidated|airspace consolidation|\
         air space consolidation|consolidating|parenchymal consolidation",
    ),
    finding(
        "pneumonia",
        Disease,
        &[Pneumonia],
        "airspace",
        "pneumonia|bronchopneumonia|pneumonitis|infection|infectious process|infectious etiology|infectious disease|\
         pulmonary infection|chest infection|lung infection|aspiration pneumonia|aspiration pneumonitis|\
         infective process|infectious infiltrate|infective change|pneumonic|\
         infectious change|infective etiology|lower respiratory tract infection|pneumonic process|pneumonic infiltrate|\
         pneumonic consolidation|infective consolidation|infectious consolidation|infectious|infective|pna|covid pneumonia",
    ),
    finding(
        "atelectasis",
        Disease,
        &[Atelectasis],
        "airspace",
        "atelectasis|atelectatic change|atelectatic|collapse|lung collapse|collapsed|\
         collapsed lung|atelectatic band",
    ),
    finding(
        "pneumothorax",
        Disease,
        &[Pneumothorax],
        "",
        "pneumothorax|ptx|pleural air|air in the pleural space|intrapleural air|pnx|pneumothoracy",
    ),
    finding(
        "hydropneumothorax",
        Disease,
        &[Pneumothorax, PleuralEffusion],
        "pneumothorax",
        "hydropneumothorax|hemopneumothorax|pyopneumothorax",
    ),
    finding(
        "pleural effusion",
        Disease,
        &[PleuralEffusion],
        "",
        "pleural effusion|effusion|pleural fluid|fluid in the pleural space|pleural fluid collection|hemothorax|\
         hydrothorax|pleural collection|\
         pleuro effusion|blunting of the costophrenic angle|blunted costophrenic angle|costophrenic angle blunting|\
         blunting of costophrenic angle|blunting of the left costophrenic angle|blunting of the right costophrenic angle|\
         blunting of both costophrenic angle|blunting of bilateral costophrenic angle|costophrenic sulcus blunting|\
         blunting of the costophrenic sulcus|blunting of the left costophrenic sulcus|\
         blunting of the right costophrenic sulcus|blunting of the left lateral costophrenic angle|\
         blunting of the right lateral costophrenic angle|blunting of the posterior costophrenic angle|\
         blunting of the posterior costophrenic sulcus|fluid in the fissure|fluid in the minor fissure|\
         fluid in the major fissure|fissural fluid|empyema|chylothorax|layering fluid",
    ),
    finding(
        "pleural thickening",
        Abnormality,
        &[PleuralOther],
        "",
        "pleural thickening|thickening of the pleura|pleural plaque|pleural scarring|pleural scar|fibrothorax|\
         pleural calcification|calcified pleural plaque|pleural fibrosis|apical cap|pleural cap|pleural based mass|\
         pleural mass|pleural nodularity|pleural nodule|mesothelioma|\
         pleural parenchymal scarring|pleuroparenchymal scarring|\
         pleural and parenchymal scarring|thickened pleura|pleural lesion|pleural based lesion|pleural based opacity|\
         apical capping|pleural tumor|pleural metastasis|fissural thickening|pleural adhesion|\
         calcified plaque|pleural tag|pleuroparenchymal thickening|pleural reaction",
    ),
    finding(
        "fracture",
        Disease,
        &[Fracture],
        "",
        "fracture|fractured|rib fracture|compression fracture|compression deformity|wedge deformity|vertebral fracture|\
         broken rib|fracture deformity|rib deformity|vertebral compression deformity|fracture line|wedge compression|\
         vertebral body compression|loss of vertebral body height|vertebral height loss|clavicle fracture|\
         cortical break|cortical disruption|compression deformity of the vertebral body|vertebral collapse",
    ),
    finding(
        "emphysema",
        Disease,
        &[],
        "airways",
        "emphysema|emphysematous change|copd|chronic obstructive pulmonary disease|bulla|bullous disease|hyperinflation|\
         hyperinflated|hyperexpanded|hyperexpansion|hyperaeration|obstructive lung disease|air trapping|asthma",
    ),
    finding(
        "subcutaneous emphysema",
        Disease,
        &[],
        "",
        "subcutaneous emphysema|subcutaneous air|subcutaneous gas|soft tissue emphysema|surgical emphysema",
    ),
    finding(
        "pneumomediastinum",
        Disease,
        &[],
        "",
        "pneumomediastinum|mediastinal air|pneumopericardium",
    ),
    finding(
        "free air",
        Disease,
        &[],
        "",
        "free air|pneumoperitoneum|free intraperitoneal air|subdiaphragmatic air|free gas|free subdiaphragmatic air|free subdiaphragmatic gas|air under the diaphragm",
    ),
    finding(
        "pericardial effusion",
        Disease,
        &[],
        "",
        "pericardial effusion|pericardial fluid",
    ),
    finding(
        "hiatal hernia",
        Disease,
        &[],
        "",
        "hiatal hernia|hiatus hernia|diaphragmatic hernia",
    ),
    finding(
        "scoliosis",
        Abnormality,
        &[],
        "spine",
        "scoliosis|kyphosis|levoscoliosis|dextroscoliosis|kyphoscoliosis",
    ),
    finding(
        "degenerative change",
        Abnormality,
        &[],
        "spine",
        "degenerative change|degenerative disease|osteophyte|spondylosis|arthropathy|osteoarthritis|arthritis|degenerative joint disease",
    ),
    finding(
        "osteopenia",
        Abnormality,
        &[],
        "spine",
        "osteopenia|osteoporosis|demineralization|osteopenic",
    ),
    finding(
        "bone lesion",
        Disease,
        &[],
        "",
        "bone lesion|osseous lesion|lytic lesion|sclerotic lesion|bony lesion|rib lesion|bone metastasis|osseous metastasis|blastic lesion|aggressive osseous lesion|destructive osseous lesion",
    ),
    finding(
        "vascular calcification",
        Abnormality,
        &[],
        "aorta",
        "aortic calcification|atherosclerotic calcification|calcified aorta|atherosclerosis|calcified aortic knob|aortic atherosclerosis|atherosclerotic disease|vascular calcification|calcification of the aorta|atherosclerotic change|atheromatous calcification",
    ),
    finding(
        "tortuous aorta",
        Abnormality,
        &[],
        "aorta",
        "tortuous aorta|tortuosity|aortic tortuosity|unfolded aorta|aortic aneurysm|aortic ectasia|ectatic aorta|aorta is tortuous|dilated aorta|uncoiled aorta|unfolding of the aorta",
    ),
    finding(
        "lymphadenopathy",
        Disease,
        &[],
        "hilum",
        "lymphadenopathy|adenopathy|hilar lymphadenopathy|mediastinal lymphadenopathy|enlarged lymph node|hilar enlargement|hilar prominence|prominent hilum|hilar adenopathy|hilar fullness",
    ),
    finding(
        "low lung volume",
        Abnormality,
        &[],
        "",
        "low lung volume|lung volume is low|lung volume are low|reduced lung volume|decreased lung volume|hypoinflation|hypoventilatory change|diminished lung volume|shallow inspiration|poor inspiration|poor inspiratory effort|low inspiratory volume|small lung volume|hypoinflated|hypoventilation",
    ),
    finding("volume loss", Abnormality, &[], "", "volume loss|loss of volume"),
    finding(
        "elevated diaphragm",
        Abnormality,
        &[],
        "",
        "elevated hemidiaphragm|elevation of the hemidiaphragm|elevated right hemidiaphragm|elevated left hemidiaphragm|elevation of the right hemidiaphragm|elevation of the left hemidiaphragm|hemidiaphragm elevation|diaphragmatic elevation|eventration|hemidiaphragm is elevated|elevation of the diaphragm",
    ),
    finding(
        "mediastinal shift",
        Abnormality,
        &[],
        "",
        "mediastinal shift|tracheal deviation|shift of the mediastinum|deviation of the trachea|deviated trachea|trachea is deviated|tracheal shift|midline shift",
    ),
    finding(
        "scarring",
        Abnormality,
        &[],
        "airspace",
        "scarring|scar|fibrosis|pulmonary fibrosis|fibrotic change|fibrotic|fibrotic band|parenchymal scarring|apical scarring|parenchymal scar|apical scar|interstitial fibrosis|linear scarring|fibrocalcific change",
    ),
    finding(
        "bronchiectasis",
        Disease,
        &[],
        "airways",
        "bronchiectasis|bronchitis|bronchitic change|bronchiolitis",
    ),
    finding("tuberculosis", Disease, &[], "", "tuberculosis|tb"),
    finding(
        "embolism",
        Disease,
        &[],
        "",
        "pulmonary embolism|embolism|pulmonary embolus|pe",
    ),
    finding(
        "pulmonary hypertension",
        Disease,
        &[],
        "",
        "pulmonary hypertension|pulmonary arterial hypertension|enlarged pulmonary artery",
    ),
    finding("dislocation", Disease, &[], "", "dislocation|subluxation"),
    finding("aspiration", Disease, &[], "airspace", "aspiration"),
    finding(
        "hemorrhage",
        Disease,
        &[],
        "",
        "hemorrhage|pulmonary hemorrhage|contusion|pulmonary contusion|hematoma",
    ),
    finding(
        "foreign body",
        Abnormality,
        &[],
        "",
        "foreign body|radiopaque foreign body",
    ),
    finding("pneumatocele", Abnormality, &[], "", "bleb|cyst|pneumatocele"),
    finding(
        "acute process",
        Disease,
        &[],
        "",
        "acute process|acute cardiopulmonary process|acute cardiopulmonary disease|acute cardiopulmonary abnormality|\
         cardiopulmonary process|cardiopulmonary disease|cardiopulmonary abnormality|acute pulmonary process|\
         acute abnormality|acute disease|acute finding|acute pathology|acute cardiopulmonary finding|\
         acute intrathoracic process|acute intrathoracic abnormality|acute thoracic process|active disease|\
         active cardiopulmonary disease|acute pulmonary abnormality|acute pulmonary disease|acute radiographic abnormality|\
         acute chest pathology|acute lung disease|significant abnormality|acute osseous abnormality|\
         acute bony abnormality|osseous abnormality|bony abnormality|acute intrathoracic pathology|acute change|\
         active lung disease|active pulmonary disease|acute cardiopulmonary pathology|radiographic abnormality|\
         acute cardiac or pulmonary process|acute skeletal abnormality|acute cardiac abnormality|abnormality|\
         acute cardiopulmonary change|acute bone abnormality|intrathoracic process|intrathoracic abnormality|\
         acute or active cardiopulmonary disease|acute cardiothoracic process|acute findings in the chest",
    ),
    Concept {
        name: "normal study",
        role: Role::Normal,
        kind: EntityType::NonAbnormality,
        labels: &[],
        family: "",
        phrases: "normal chest|unremarkable chest|normal study|normal examination|normal exam|normal radiograph|\
                  normal chest radiograph|normal chest x ray|normal chest xray|normal cxr|unremarkable study|\
                  unremarkable radiograph|unremarkable chest radiograph|unremarkable examination|negative chest|\
                  normal chest film|chest is normal|clear chest|chest radiograph is normal|\
                  unremarkable exam|negative study|study is normal|normal appearance of the chest|\
                  chest radiograph is unremarkable|normal frontal radiograph|normal portable chest radiograph|\
                  chest x ray is normal|normal frontal chest radiograph|examination is normal|negative examination",
    },
    device(
        "endotracheal tube",
        "endotracheal tube|et tube|ett|tracheostomy tube|tracheostomy|endotracheal|intubated|intubation|trach|trach tube|tracheal tube|endobronchial tube",
    ),
    device(
        "enteric tube",
        "nasogastric tube|ng tube|ngt|enteric tube|orogastric tube|og tube|ogt|feeding tube|dobhoff tube|dobbhoff tube|dobhoff|dobbhoff|nasoenteric tube|gastric tube|enteric catheter|gastrostomy tube|gastrostomy|peg tube|weighted feeding tube|nasojejunal tube|nj tube|g tube|sidehole|side port|side hole",
    ),
    device(
        "central line",
        "central line|central venous catheter|central venous line|central catheter|picc|picc line|picc catheter|internal jugular catheter|internal jugular line|ij catheter|ij line|internal jugular central venous catheter|ij central line|internal jugular venous catheter|internal jugular sheath|jugular line|jugular catheter|subclavian catheter|subclavian line|dialysis catheter|hemodialysis catheter|port a cath|portacath|mediport|port|chest port|swan ganz catheter|swan ganz|pulmonary artery catheter|hickman catheter|permcath|vas cath|peripherally inserted central catheter|cvc|cvl|infusion port|central access|venous catheter|venous line|hickman line|pa catheter|central access line|quinton catheter|tunneled catheter|vascular catheter|vascular sheath|arterial line|introducer sheath|broviac",
    ),
    device(
        "chest tube",
        "chest tube|pleural drain|pigtail catheter|pleural catheter|thoracostomy tube|pigtail|chest drain|pleural tube|intercostal drain|pleurx catheter|pleurx|mediastinal drain|mediastinal tube|thoracic drain|icd drain|pleural pigtail",
    ),
    device(
        "pacemaker",
        "pacemaker|pacer|icd|defibrillator|aicd|pacing lead|pacemaker lead|pacing wire|pacing device|cardiac device|icd lead|dual chamber pacemaker|biventricular pacemaker|implantable cardioverter defibrillator|cardioverter defibrillator|pacer lead|generator|pulse generator|epicardial lead|defibrillator lead|ventricular lead|atrial lead|dual lead|single lead|loop recorder|crt d|pacer wire|pacemaker wire|implanted cardiac device|aicd lead|transvenous lead|cardiac pacing device|biventricular icd|ppm|dual chamber pacer|lead terminate|lead end|lead overlie|lead project|lead tip|lead in the|lead are|lead remain|pacer pad|ecg lead|ekg lead|monitoring lead|external pacer pad",
    ),
    device(
        "sternotomy wire",
        "sternotomy wire|sternal wire|median sternotomy wire|cerclage wire|surgical clip|clip|mediastinal clip|suture|staple|surgical staple|suture line|chain suture|fixation hardware|hardware|orthopedic hardware|spinal hardware|screw|spinal rod|fixation rod|prosthesis|arthroplasty|fixation plate|surgical hardware|spinal fusion hardware|vertebroplasty|fixation device|wire|shoulder replacement",
    ),
    device(
        "valve",
        "prosthetic valve|valve replacement|valve prosthesis|mechanical valve|heart valve prosthesis|bioprosthetic valve|tavr|mitral clip|valvular prosthesis|prosthetic aortic valve|prosthetic mitral valve|aortic valve replacement|mitral valve replacement|annuloplasty ring|jude valve|artificial valve|cardiac valve|valve ring|stent|coronary stent|stent graft|aortic stent graft|lvad|ventricular assist device|iabp|intra aortic balloon pump|intraaortic balloon pump|balloon pump|ecmo cannula|cannula|impella|tavi|aortic endograft|endograft|ivc filter|vp shunt|shunt catheter|ventriculoperitoneal shunt|shunt|shunt tubing|filter|embolization coil|nerve stimulator|vagal nerve stimulator|spinal stimulator|stimulator|breast implant|pump",
    ),
    device(
        "support device",
        "support device|monitoring device|line and tube|tube and line|support line|support apparatus|monitoring and support device|tube|catheter|drain|indwelling device|supporting device|line|medical device|support tube|life support device|device|sheath|indwelling line|support and monitoring device|support structure|life support line|coil|support hardware",
    ),
    Concept {
        role: Role::Removal,
        ..device("endotracheal tube", "extubated|extubation|decannulated")
    },
    body(
        "heart",
        Role::Subject(Subject::Heart),
        "heart|heart size|cardiac size|cardiac silhouette|cardiac shadow|cardiac contour|cardiac silhouette size|size of the heart|size of the cardiac silhouette|cardiothoracic ratio|heart contour|heart shadow|heart silhouette|cardiac border|cardiopericardial silhouette|size of cardiac silhouette|transverse cardiac diameter|left ventricle|cardiac diameter|pericardial silhouette|cardiac outline",
    ),
    body(
        "mediastinum",
        Role::Subject(Subject::Mediastinum),
        "mediastinum|mediastinal contour|mediastinal silhouette|mediastinal and hilar contour|mediastinal structure|superior mediastinum|upper mediastinum|mediastinal width|mediastinal shadow|mediastinal outline|mediastinal border|hilar and mediastinal contour|mediastinal configuration|mediastinal and hilar structure",
    ),
    body(
        "cardiomediastinum",
        Role::Subject(Subject::Cardiomediastinum),
        "cardiomediastinal silhouette|cardiomediastinal contour|cardio mediastinal silhouette|cardio mediastinal contour|cardiomediastinum|cardiac and mediastinal silhouette|cardiac and mediastinal contour|cardiac mediastinal silhouette|cardiac mediastinal contour|cardiomediastinal structure|cardiomediastinal|cardiomediastinal and hilar contour|cardiac mediastinal and hilar contour|cardiac mediastinal hilar contour|cardiac hilar and mediastinal contour|cardiomediastinal and hilar silhouette|cardiac , mediastinal , and hilar contour|cardiac , mediastinal and hilar contour|cardiomediastinal hilar contour|cardiomediastinal shadow|cardiomediastinal border|cardiomediastinal outline|cardiomediastinal configuration",
    ),
    body(
        "lung",
        Role::Subject(Subject::Lungs),
        "lung|lung field|lung parenchyma|both lung|pulmonary parenchyma|lung zone|bilateral lung",
    ),
    body(
        "pleura",
        Role::Subject(Subject::Pleura),
        "pleural space|costophrenic angle|costophrenic sulcus|pleural surface|pleura|costophrenic recess|pleural sulcus|cp angle|lateral costophrenic angle|posterior costophrenic angle",
    ),
    body(
        "pulmonary vessel",
        Role::Subject(Subject::Vessels),
        "pulmonary vasculature|pulmonary vascularity|pulmonary vessel|pulmonary vascular pattern|vasculature|pulmonary vascular marking",
    ),
    body(
        "bone",
        Role::Subject(Subject::Bones),
        "rib|clavicle|bony thorax|osseous structure|bony structure|bone|bony skeleton|thoracic cage|bony thoracic cage|visualized rib|skeleton|spine|thoracic spine|vertebra|vertebral body|shoulder|humerus|sternum|scapula|rib cage|skeletal structure",
    ),
    body(
        "lobe",
        Role::Anatomy,
        "lower lobe|upper lobe|middle lobe|lingula|base|lung base|apex|lung apex|perihilar region|hilum|carina|trachea|retrocardiac region|hemithorax|lower lung|upper lung|mid lung|lower zone|upper zone|mid zone|hemidiaphragm|diaphragm|fissure|minor fissure|svc|superior vena cava|right atrium|stomach|aorta|aortic knob|thorax|chest|cavoatrial junction|gastroesophageal junction|lower lung zone|upper lung zone|mid lung zone|lung volume|pulmonary artery|soft tissue|airway|main bronchus|mainstem bronchus|bronchus|internal jugular vein|subclavian vein|brachiocephalic vein|aortic arch|axilla|abdomen|chest wall|right ventricle|lower lung field|upper lung field|hilar contour|upper abdomen|duodenum|esophagus|hilar structure",
    ),
    body(
        "",
        Role::Ignore,
        "pleural line|skin fold|line placement|costophrenic|midline|lateral view|joint effusion|knee effusion|bone density|soft tissue density|bone mineral density|breast density|mid line|air filled stomach|visualized portion|skin line|fat density|calcific density|metallic density|in line with|air bronchogram|bowel gas|mass effect|paraspinal line|paratracheal stripe|paratracheal line|density of bone|degenerative spur|vascular line|edema of the soft tissue|soft tissue edema|soft tissue mass|prominent nipple shadow|nipple shadow",
    ),
];
