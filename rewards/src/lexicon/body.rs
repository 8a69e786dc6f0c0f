//! Support devices and parts of the body, and the phrases that name them: plain data.
//!
//! Words are written in lower case; spelling, plurals and hyphens are normalised when read. Phrases are separated by `|`.

use super::concepts::{Concept, Role, Subject};
use crate::{entity::EntityType, labels::Observation};

const fn device(name: &'static str, phrases: &'static str) -> Concept {
    Concept {
        name,
        role: Role::Device,
        kind: EntityType::Abnormality,
        labels: &[Observation::SupportDevices],
        family: "device",
        phrases,
    }
}

const fn body(name: &'static str, role: Role, phrases: &'static str) -> Concept {
    Concept { name, role, kind: EntityType::Anatomy, labels: &[], family: "", phrases }
}

pub(super) const DEVICES: &[Concept] = &[
    device(
        "endotracheal tube",
        "endotracheal tube|et tube|ett|tracheostomy tube|tracheostomy|endotracheal|intubated|intubation|trach|\
         trach tube|tracheal tube|endobronchial tube",
    ),
    device(
        "enteric tube",
        "nasogastric tube|ng tube|ngt|enteric tube|orogastric tube|og tube|ogt|feeding tube|dobhoff tube|\
         dobbhoff tube|dobhoff|dobbhoff|nasoenteric tube|gastric tube|enteric catheter|gastrostomy tube|\
         gastrostomy|peg tube|weighted feeding tube|nasojejunal tube|nj tube|g tube|sidehole|side port|side hole",
    ),
    device(
        "central line",
        "central line|central venous catheter|central venous line|central catheter|picc|picc line|picc catheter|\
         internal jugular catheter|internal jugular line|ij catheter|ij line|\
         internal jugular central venous catheter|ij central line|internal jugular venous catheter|\
         internal jugular sheath|jugular line|jugular catheter|subclavian catheter|subclavian line|\
         dialysis catheter|hemodialysis catheter|port a cath|portacath|mediport|port|chest port|\
         swan ganz catheter|swan ganz|pulmonary artery catheter|hickman catheter|permcath|vas cath|\
         peripherally inserted central catheter|cvc|cvl|infusion port|central access|venous catheter|venous line|\
         hickman line|pa catheter|central access line|quinton catheter|tunneled catheter|vascular catheter|\
         vascular sheath|arterial line|introducer sheath|broviac",
    ),
    device(
        "chest tube",
        "chest tube|pleural drain|pigtail catheter|pleural catheter|thoracostomy tube|pigtail|chest drain|\
         pleural tube|intercostal drain|pleurx catheter|pleurx|mediastinal drain|mediastinal tube|thoracic drain|\
         icd drain|pleural pigtail",
    ),
    device(
        "pacemaker",
        "pacemaker|pacer|icd|defibrillator|aicd|lead|pacing lead|pacemaker lead|pacing wire|pacing device|\
         cardiac device|icd lead|dual chamber pacemaker|biventricular pacemaker|\
         implantable cardioverter defibrillator|cardioverter defibrillator|pacer lead|generator|pulse generator|\
         epicardial lead|defibrillator lead|ventricular lead|atrial lead|dual lead|single lead|loop recorder|\
         crt d|pacer wire|pacemaker wire|implanted cardiac device|aicd lead|transvenous lead|\
         cardiac pacing device|biventricular icd|ppm|dual chamber pacer|\
         pacer pad|ecg lead|ekg lead|monitoring lead|\
         external pacer pad",
    ),
    device(
        "sternotomy wire",
        "sternotomy wire|sternal wire|median sternotomy wire|cerclage wire|surgical clip|clip|mediastinal clip|\
         suture|staple|surgical staple|suture line|chain suture|fixation hardware|hardware|orthopedic hardware|\
         spinal hardware|screw|spinal rod|fixation rod|prosthesis|arthroplasty|fixation plate|surgical hardware|\
         spinal fusion hardware|vertebroplasty|fixation device|wire|shoulder replacement",
    ),
    device(
        "valve",
        "prosthetic valve|valve replacement|valve prosthesis|mechanical valve|heart valve prosthesis|\
         bioprosthetic valve|tavr|mitral clip|valvular prosthesis|prosthetic aortic valve|\
         prosthetic mitral valve|aortic valve replacement|mitral valve replacement|annuloplasty ring|jude valve|\
         artificial valve|cardiac valve|valve ring|stent|coronary stent|stent graft|aortic stent graft|lvad|\
         ventricular assist device|iabp|intra aortic balloon pump|intraaortic balloon pump|balloon pump|\
         ecmo cannula|cannula|impella|tavi|aortic endograft|endograft|ivc filter|vp shunt|shunt catheter|\
         ventriculoperitoneal shunt|shunt|shunt tubing|filter|embolization coil|nerve stimulator|\
         vagal nerve stimulator|spinal stimulator|stimulator|breast implant|pump",
    ),
    device(
        "support device",
        "support device|monitoring device|line and tube|tube and line|support line|support apparatus|\
         monitoring and support device|tube|catheter|drain|indwelling device|supporting device|line|\
         medical device|support tube|life support device|device|sheath|indwelling line|\
         support and monitoring device|support structure|life support line|coil|support hardware",
    ),
    Concept { role: Role::Removal, ..device("endotracheal tube", "extubated|extubation|decannulated") },
];

pub(super) const BODY: &[Concept] = &[
    body(
        "heart",
        Role::Subject(Subject::Heart),
        "heart|heart size|cardiac size|cardiac silhouette|cardiac shadow|cardiac contour|cardiac silhouette size|\
         size of the heart|size of the cardiac silhouette|cardiothoracic ratio|heart contour|heart shadow|\
         heart silhouette|cardiac border|cardiopericardial silhouette|size of cardiac silhouette|\
         transverse cardiac diameter|left ventricle|cardiac diameter|pericardial silhouette|cardiac outline",
    ),
    body(
        "mediastinum",
        Role::Subject(Subject::Mediastinum),
        "mediastinum|mediastinal contour|mediastinal silhouette|mediastinal and hilar contour|\
         mediastinal structure|superior mediastinum|upper mediastinum|mediastinal width|mediastinal shadow|\
         mediastinal outline|mediastinal border|hilar and mediastinal contour|mediastinal configuration|\
         mediastinal and hilar structure",
    ),
    body(
        "cardiomediastinum",
        Role::Subject(Subject::Cardiomediastinum),
        "cardiomediastinal silhouette|cardiomediastinal contour|cardio mediastinal silhouette|\
         cardio mediastinal contour|cardiomediastinum|cardiac and mediastinal silhouette|\
         cardiac and mediastinal contour|cardiac mediastinal silhouette|cardiac mediastinal contour|\
         cardiomediastinal structure|cardiomediastinal|cardiomediastinal and hilar contour|\
         cardiac mediastinal and hilar contour|cardiac mediastinal hilar contour|\
         cardiac hilar and mediastinal contour|cardiomediastinal and hilar silhouette|\
         cardiac , mediastinal , and hilar contour|cardiac , mediastinal and hilar contour|\
         cardiomediastinal hilar contour|cardiomediastinal shadow|cardiomediastinal border|\
         cardiomediastinal outline|cardiomediastinal configuration",
    ),
    body("lung", Role::Subject(Subject::Lungs), "lung|lung field|lung parenchyma|pulmonary parenchyma|lung zone"),
    body(
        "pleura",
        Role::Subject(Subject::Pleura),
        "pleural space|costophrenic angle|costophrenic sulcus|pleural surface|pleura|costophrenic recess|\
         pleural sulcus|cp angle|lateral costophrenic angle|posterior costophrenic angle",
    ),
    body(
        "pulmonary vessel",
        Role::Subject(Subject::Vessels),
        "pulmonary vasculature|pulmonary vascularity|pulmonary vessel|pulmonary vascular pattern|vasculature|\
         pulmonary vascular marking",
    ),
    body(
        "bone",
        Role::Subject(Subject::Bones),
        "rib|clavicle|bony thorax|osseous structure|bony structure|bone|bony skeleton|thoracic cage|\
         bony thoracic cage|visualized rib|skeleton|spine|thoracic spine|vertebra|vertebral body|shoulder|\
         humerus|sternum|scapula|rib cage|skeletal structure",
    ),
    body(
        "lobe",
        Role::Anatomy,
        "lower lobe|upper lobe|middle lobe|lingula|base|lung base|apex|lung apex|perihilar region|hilum|carina|\
         trachea|retrocardiac region|hemithorax|lower lung|upper lung|mid lung|lower zone|upper zone|mid zone|\
         hemidiaphragm|diaphragm|fissure|minor fissure|svc|superior vena cava|right atrium|stomach|aorta|\
         aortic knob|thorax|chest|cavoatrial junction|gastroesophageal junction|lower lung zone|upper lung zone|\
         mid lung zone|lung volume|pulmonary artery|soft tissue|airway|main bronchus|mainstem bronchus|bronchus|\
         internal jugular vein|subclavian vein|brachiocephalic vein|aortic arch|axilla|abdomen|chest wall|\
         right ventricle|lower lung field|upper lung field|hilar contour|upper abdomen|duodenum|esophagus|\
         hilar structure",
    ),
    body(
        "",
        Role::Ignore,
        "pleural line|skin fold|lead to|line placement|costophrenic|midline|lateral view|joint effusion|bone density|\
         soft tissue density|breast density|mid line|visualized portion|skin line|fat density|calcific density|\
         metallic density|in line with|air bronchogram|bowel gas|mass effect|paraspinal line|paratracheal stripe|\
         paratracheal line|density of bone|degenerative spur|vascular line|edema of the soft tissue|\
         soft tissue edema|soft tissue mass|prominent nipple shadow|nipple shadow",
    ),
];
