//! The findings and the phrases that name them: plain data.
//!
//! Words are written in lower case; spelling, plurals and hyphens are normalised when read. Phrases are separated by `|`.

use EntityType::{Abnormality, Disease};
use Observation::{
    Atelectasis, Cardiomegaly, Consolidation, Edema, EnlargedCardiomediastinum, Fracture, LungLesion, LungOpacity,
    PleuralEffusion, PleuralOther, Pneumonia, Pneumothorax,
};

use super::concepts::{Concept, Role};
use crate::{entity::EntityType, labels::Observation};

const fn finding(
    name: &'static str,
    kind: EntityType,
    labels: &'static [Observation],
    family: &'static str,
    phrases: &'static str,
) -> Concept {
    Concept { name, role: Role::Finding, kind, labels, family, phrases }
}

pub(super) const FINDINGS: &[Concept] = &[
    finding(
        "enlarged cardiomediastinum",
        Disease,
        &[EnlargedCardiomediastinum],
        "",
        "mediastinal widening|widened mediastinum|widening of the mediastinum|\
         widening of the superior mediastinum|widened mediastinal contour|widened mediastinal silhouette|\
         mediastinal enlargement|enlarged mediastinum|mediastinal prominence|prominence of the mediastinum|\
         widened superior mediastinum|enlargement of the mediastinum|widened cardiomediastinal silhouette|\
         enlarged cardiomediastinum|widened cardiomediastinum|cardiomediastinal enlargement|\
         cardiomediastinal widening|mediastinal mass|mediastinal hematoma|superior mediastinal widening|\
         widened upper mediastinum",
    ),
    finding(
        "cardiomegaly",
        Disease,
        &[Cardiomegaly],
        "",
        "cardiomegaly|cardiac enlargement|heart enlargement|cardiac hypertrophy|enlargement of the heart|\
         enlargement of heart|ventricular enlargement|left ventricular enlargement|right ventricular enlargement|\
         biventricular enlargement|enlargement of the left ventricle|atrial enlargement|left atrial enlargement|\
         right atrial enlargement|four chamber enlargement|cardiac dilatation|cardiac dilation|cardiomegally|\
         megalocardia",
    ),
    finding(
        "lung opacity",
        Abnormality,
        &[LungOpacity],
        "airspace",
        "opacity|opacification|opacified|infiltrate|infiltration|infiltrative change|airspace disease|\
         air space disease|airspace process|air space process|haziness|hazy density|density|airspace density|\
         ground glass|groundglass|interstitial marking|increased interstitial marking|interstitial prominence|\
         interstitial thickening|reticulation|reticular pattern|reticular marking|interstitial pattern|whiteout|\
         white out|parenchymal disease|interstitial disease|interstitial lung disease|interstitial abnormality|\
         parenchymal abnormality|increased lung marking|shadowing|parenchymal density|interstitial change|\
         peribronchial cuffing|peribronchial thickening|bronchial wall thickening|alveolar disease|\
         alveolar process|interstitial process|airspace change|air space change|air space density",
    ),
    finding(
        "lung lesion",
        Disease,
        &[LungLesion],
        "",
        "nodule|lung nodule|pulmonary nodule|nodularity|mass|lung mass|pulmonary mass|hilar mass|mass lesion|lung lesion|pulmonary lesion|lesion|neoplasm|\
         neoplastic process|tumor|malignancy|malignant process|cancer|carcinoma|metastasis|metastatic disease|\
         cavitary lesion|cavitation|lung cancer|granuloma|cavity|bronchogenic carcinoma|nodular lesion|\
         space occupying lesion|micronodule|adenocarcinoma|cavitating lesion|coin lesion|rounded lesion|\
         granulomatous disease",
    ),
    finding(
        "nodular opacity",
        Abnormality,
        &[LungLesion, LungOpacity],
        "lung lesion",
        "nodular opacity|nodular density|nodular opacification|mass like opacity|masslike opacity|\
         rounded opacity|mass like density|masslike density|round opacity|nodule like opacity|\
         mass like consolidation",
    ),
    finding(
        "edema",
        Disease,
        &[Edema],
        "",
        "edema|pulmonary edema|interstitial edema|alveolar edema|interstitial pulmonary edema|\
         alveolar pulmonary edema|vascular congestion|pulmonary vascular congestion|pulmonary venous congestion|\
         venous congestion|pulmonary congestion|congestion|heart failure|congestive heart failure|\
         congestive failure|chf|cardiac failure|left heart failure|cardiac decompensation|\
         decompensated heart failure|fluid overload|volume overload|hydrostatic edema|cardiogenic edema|\
         kerley line|kerley b line|kerley a line|septal line|pulmonary venous hypertension|vascular engorgement|\
         pulmonary vascular engorgement|venous engorgement|engorgement of the pulmonary vasculature|\
         engorgement of pulmonary vessels|cephalization|vascular redistribution|\
         pulmonary vascular redistribution|congestive change|vascular indistinctness|vascular plethora|\
         pulmonary hyperemia|engorged pulmonary vasculature|vascular prominence|pulmonary vascular prominence|\
         prominence of the pulmonary vasculature|congested vasculature|engorged vasculature|upper lobe diversion|\
         upper lobe venous diversion|flash edema|cephalisation|indistinctness of the pulmonary vasculature|\
         indistinct pulmonary vasculature|indistinct pulmonary vessel|septal thickening|fluid excess|\
         hypervolemia|lvf|lv failure|left ventricular failure|congested lung",
    ),
    finding(
        "consolidation",
        Abnormality,
        &[Consolidation],
        "airspace",
        "consolidation|consolidative change|consolidative process|consolidative|consolidated|\
         airspace consolidation|air space consolidation|consolidating|parenchymal consolidation",
    ),
    finding(
        "pneumonia",
        Disease,
        &[Pneumonia],
        "airspace",
        "pneumonia|bronchopneumonia|pneumonitis|infection|infectious process|infectious etiology|\
         infectious disease|pulmonary infection|chest infection|lung infection|aspiration pneumonia|\
         aspiration pneumonitis|infective process|infectious infiltrate|infective change|pneumonic|\
         infectious change|infective etiology|lower respiratory tract infection|pneumonic process|\
         pneumonic infiltrate|pneumonic consolidation|infective consolidation|infectious consolidation|\
         infectious|infective|pna|covid pneumonia",
    ),
    finding(
        "atelectasis",
        Disease,
        &[Atelectasis],
        "airspace",
        "atelectasis|atelectatic change|atelectatic|collapse|lung collapse|collapsed|collapsed lung|\
         atelectatic band",
    ),
    finding(
        "pneumothorax",
        Disease,
        &[Pneumothorax],
        "",
        "pneumothorax|ptx|pleural air|air in the pleural space|intrapleural air|pnx",
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
         hydrothorax|pleural collection|blunting of the costophrenic angle|blunted costophrenic angle|\
         costophrenic angle blunting|blunting of costophrenic angle|blunting of the left costophrenic angle|\
         blunting of the right costophrenic angle|blunting of both costophrenic angle|\
         blunting of bilateral costophrenic angle|costophrenic sulcus blunting|\
         blunting of the costophrenic sulcus|blunting of the left costophrenic sulcus|\
         blunting of the right costophrenic sulcus|blunting of the left lateral costophrenic angle|\
         blunting of the right lateral costophrenic angle|blunting of the posterior costophrenic angle|\
         blunting of the posterior costophrenic sulcus|fluid in the fissure|fluid in the minor fissure|fluid in the right minor fissure|fluid in the left major fissure|fluid in the right major fissure|\
         fluid in the major fissure|fissural fluid|empyema|chylothorax|layering fluid",
    ),
    finding(
        "pleural thickening",
        Abnormality,
        &[PleuralOther],
        "",
        "pleural thickening|thickening of the pleura|pleural plaque|pleural scarring|pleural scar|fibrothorax|\
         pleural calcification|calcified pleural plaque|pleural fibrosis|apical cap|pleural cap|\
         pleural based mass|pleural mass|pleural nodularity|pleural nodule|mesothelioma|\
         pleural parenchymal scarring|pleuroparenchymal scarring|pleural and parenchymal scarring|\
         thickened pleura|pleural lesion|pleural based lesion|pleural based opacity|apical capping|pleural tumor|\
         pleural metastasis|fissural thickening|pleural adhesion|calcified plaque|pleural tag|\
         pleuroparenchymal thickening|pleural reaction",
    ),
    finding(
        "fracture",
        Disease,
        &[Fracture],
        "",
        "fracture|fractured|rib fracture|compression fracture|compression deformity|wedge deformity|\
         vertebral fracture|broken rib|fracture deformity|rib deformity|vertebral compression deformity|\
         fracture line|wedge compression|vertebral body compression|loss of vertebral body height|\
         vertebral height loss|clavicle fracture|cortical break|cortical disruption|\
         compression deformity of the vertebral body|vertebral collapse",
    ),
    finding(
        "emphysema",
        Disease,
        &[],
        "airways",
        "emphysema|emphysematous change|copd|chronic obstructive pulmonary disease|bulla|bullous disease|\
         hyperinflation|hyperinflated|hyperexpanded|hyperexpansion|hyperaeration|obstructive lung disease|\
         air trapping|asthma",
    ),
    finding(
        "subcutaneous emphysema",
        Disease,
        &[],
        "",
        "subcutaneous emphysema|subcutaneous air|subcutaneous gas|soft tissue emphysema|surgical emphysema",
    ),
    finding("pneumomediastinum", Disease, &[], "", "pneumomediastinum|mediastinal air|pneumopericardium"),
    finding(
        "free air",
        Disease,
        &[],
        "",
        "free air|pneumoperitoneum|free intraperitoneal air|subdiaphragmatic air|free gas|\
         free subdiaphragmatic air|free subdiaphragmatic gas|air under the diaphragm",
    ),
    finding("pericardial effusion", Disease, &[], "", "pericardial effusion|pericardial fluid"),
    finding("hiatal hernia", Disease, &[], "", "hiatal hernia|hiatus hernia|diaphragmatic hernia"),
    finding("scoliosis", Abnormality, &[], "spine", "scoliosis|kyphosis|levoscoliosis|dextroscoliosis|kyphoscoliosis"),
    finding(
        "degenerative change",
        Abnormality,
        &[],
        "spine",
        "degenerative change|degenerative disease|osteophyte|spondylosis|arthropathy|osteoarthritis|arthritis|\
         degenerative joint disease",
    ),
    finding("osteopenia", Abnormality, &[], "spine", "osteopenia|osteoporosis|demineralization|osteopenic"),
    finding(
        "bone lesion",
        Disease,
        &[],
        "",
        "bone lesion|osseous lesion|lytic lesion|sclerotic lesion|bony lesion|rib lesion|bone metastasis|\
         osseous metastasis|blastic lesion|aggressive osseous lesion|destructive osseous lesion",
    ),
    finding(
        "vascular calcification",
        Abnormality,
        &[],
        "aorta",
        "aortic calcification|atherosclerotic calcification|calcified aorta|atherosclerosis|\
         calcified aortic knob|aortic atherosclerosis|atherosclerotic disease|vascular calcification|\
         calcification of the aorta|atherosclerotic change|atheromatous calcification",
    ),
    finding(
        "tortuous aorta",
        Abnormality,
        &[],
        "aorta",
        "tortuous aorta|tortuosity|aortic tortuosity|unfolded aorta|aortic aneurysm|aortic ectasia|ectatic aorta|\
         aorta is tortuous|dilated aorta|uncoiled aorta|unfolding of the aorta",
    ),
    finding(
        "lymphadenopathy",
        Disease,
        &[],
        "hilum",
        "lymphadenopathy|adenopathy|hilar lymphadenopathy|mediastinal lymphadenopathy|enlarged lymph node|\
         hilar enlargement|hilar prominence|prominent hilum|hilar adenopathy|hilar fullness",
    ),
    finding(
        "low lung volume",
        Abnormality,
        &[],
        "",
        "low lung volume|lung volume is low|lung volume are low|reduced lung volume|decreased lung volume|\
         hypoinflation|hypoventilatory change|diminished lung volume|shallow inspiration|poor inspiration|\
         poor inspiratory effort|low inspiratory volume|small lung volume|hypoinflated|hypoventilation",
    ),
    finding("volume loss", Abnormality, &[], "", "volume loss|loss of volume"),
    finding(
        "elevated diaphragm",
        Abnormality,
        &[],
        "",
        "elevated hemidiaphragm|elevation of the hemidiaphragm|elevated right hemidiaphragm|\
         elevated left hemidiaphragm|elevation of the right hemidiaphragm|elevation of the left hemidiaphragm|\
         hemidiaphragm elevation|diaphragmatic elevation|eventration|hemidiaphragm is elevated|\
         elevation of the diaphragm",
    ),
    finding(
        "mediastinal shift",
        Abnormality,
        &[],
        "",
        "mediastinal shift|tracheal deviation|shift of the mediastinum|deviation of the trachea|deviated trachea|\
         trachea is deviated|tracheal shift|midline shift",
    ),
    finding(
        "scarring",
        Abnormality,
        &[],
        "airspace",
        "scarring|scar|fibrosis|pulmonary fibrosis|fibrotic change|fibrotic|fibrotic band|parenchymal scarring|\
         apical scarring|parenchymal scar|apical scar|interstitial fibrosis|linear scarring|fibrocalcific change",
    ),
    finding("bronchiectasis", Disease, &[], "airways", "bronchiectasis|bronchitis|bronchitic change|bronchiolitis"),
    finding("tuberculosis", Disease, &[], "", "tuberculosis|tb"),
    finding("embolism", Disease, &[], "", "pulmonary embolism|embolism|pulmonary embolus|pe"),
    finding(
        "pulmonary hypertension",
        Disease,
        &[],
        "",
        "pulmonary hypertension|pulmonary arterial hypertension|enlarged pulmonary artery",
    ),
    finding("dislocation", Disease, &[], "", "dislocation|subluxation"),
    finding("aspiration", Disease, &[], "airspace", "aspiration"),
    finding("hemorrhage", Disease, &[], "", "hemorrhage|pulmonary hemorrhage|contusion|pulmonary contusion|hematoma"),
    finding("foreign body", Abnormality, &[], "", "foreign body|radiopaque foreign body"),
    finding("pneumatocele", Abnormality, &[], "", "bleb|cyst|pneumatocele"),
    finding(
        "acute process",
        Disease,
        &[],
        "",
        "acute process|acute cardiopulmonary process|acute cardiopulmonary disease|\
         acute cardiopulmonary abnormality|cardiopulmonary process|cardiopulmonary disease|\
         cardiopulmonary abnormality|acute pulmonary process|acute abnormality|acute disease|acute finding|\
         acute pathology|acute cardiopulmonary finding|acute intrathoracic process|\
         acute intrathoracic abnormality|acute thoracic process|active disease|active cardiopulmonary disease|\
         acute pulmonary abnormality|acute pulmonary disease|acute radiographic abnormality|\
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
         normal chest film|chest is normal|clear chest|chest radiograph is normal|unremarkable exam|\
         negative study|study is normal|normal appearance of the chest|chest radiograph is unremarkable|\
         normal frontal radiograph|normal portable chest radiograph|chest x ray is normal|\
         normal frontal chest radiograph|examination is normal|negative examination",
    },
];
