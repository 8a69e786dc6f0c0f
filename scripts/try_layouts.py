#!/usr/bin/env python3
"""Takes a small invented folder in each public layout through conversion, a short run and an evaluation.

    scripts/try_layouts.py target/release/addendum

Needs nothing but Python. The policy is the bundled one, the runs have two steps; it is the commands that are tried.
"""

import csv
import gzip
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/addendum").resolve()
POLICY = pathlib.Path(__file__).resolve().parent.parent / "examples/checkpoints/phantom-tiny"
FINDINGS = ["The lungs are clear. No pleural effusion.", "There is a left pleural effusion. The heart is enlarged."]


def write(path, text, opener=open):
    path.parent.mkdir(parents=True, exist_ok=True)
    with opener(path, "wt", newline="") as file:
        file.write(text)


def table(path, rows, opener=open):
    path.parent.mkdir(parents=True, exist_ok=True)
    with opener(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def png(path, bits=8, size=96):
    """A gray image with a gradient and some noise."""
    noise = random.Random(str(path.name))
    levels = [[(x + y) * 255 // (2 * size) ^ noise.randrange(16) for x in range(size)] for y in range(size)]
    pack = (lambda level: bytes([level])) if bits == 8 else (lambda level: struct.pack(">H", level * 257))
    lines = b"".join(b"\0" + b"".join(map(pack, line)) for line in levels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", size, size, bits, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def mimic_cxr(root):
    metadata, split = [], []
    for patient, part in enumerate(["train", "train", "validate", "test"]):
        for visit in range(2):
            subject, study = f"1{patient}000001", f"5{patient}00000{visit}"
            folder = root / f"files/p{subject[:2]}/p{subject}"
            text = f"FINAL REPORT\n INDICATION: ___ with cough.\n \n FINDINGS: {FINDINGS[visit]}\n \n IMPRESSION: See above.\n"
            write(folder / f"s{study}.txt", " " * 33 + text)
            for view in ["PA", "LATERAL"]:
                row = {"dicom_id": f"{study}{view}", "subject_id": subject, "study_id": study, "ViewPosition": view}
                metadata.append(row | {"StudyDate": f"2180010{visit + 1}", "StudyTime": "93012.5"})
                split.append({"dicom_id": row["dicom_id"], "study_id": study, "subject_id": subject, "split": part})
                png(folder / f"s{study}/{row['dicom_id']}.jpg")
    table(root / "mimic-cxr-2.0.0-metadata.csv.gz", metadata, gzip.open)
    table(root / "mimic-cxr-2.0.0-split.csv.gz", split, gzip.open)


def iu_xray(root):
    for study in range(1, 7):
        images = [f"CXR{study}_1_IM-0001-{view}001" for view in (3, 4)]
        parents = "".join(f'<parentImage id="{image}"><caption>Xray Chest PA and Lateral</caption></parentImage>' for image in images)
        text = f'<AbstractText Label="FINDINGS">{FINDINGS[study % 2]}</AbstractText><AbstractText Label="INDICATION">XXXX</AbstractText>'
        write(root / f"ecgen-radiology/{study}.xml", f'<eCitation><uId id="CXR{study}"/>{text}{parents}</eCitation>')
        for image in images:
            png(root / f"{image}.png")


def chexpert_plus(root):
    rows = []
    for part, patient in [("train", 1), ("train", 2), ("train", 3), ("valid", 4)]:
        for study in (1, 2):
            path = f"{part}/patient{patient}/study{study}/view1_frontal"
            row = {"path_to_image": f"{path}.jpg", "frontal_lateral": "Frontal", "ap_pa": "AP", "deid_patient_id": f"patient{patient}"}
            rows.append(row | {"patient_report_date_order": study, "section_findings": FINDINGS[study % 2], "split": part})
            png(root / f"PNG/{path}.png")
    table(root / "df_chexpert_plus_240401.csv", rows)


def rexgradient(root):
    for part in ["train", "valid", "test"]:
        studies = {}
        for study in (1, 2):
            images = [f"../deid_png/{part}/A{study}/studies/1/series/1/instances/{view}.png" for view in "ab"]
            entry = {"PatientID": part, "StudyDate": f"2012010{study}", "ImagePath": images, "ImageViewPosition": ["PA", "LATERAL"]}
            studies[f"p{part}_s{study}"] = entry | {"Findings": FINDINGS[study % 2], "Impression": None}
            for image in images:
                png(root / image[3:], bits=16)
        write(root / f"metadata/{part}_metadata_view_position.json", json.dumps(studies))


def padchest_gr(root):
    reports, rows = [], []
    for study, part in enumerate(["train", "train", "validation", "test"]):
        sentences = [{"sentence_en": text, "sentence_es": "Derrame.", "boxes": [[0, 0, 1, 1]]} for text in FINDINGS[study % 2].split(". ")]
        reports.append({"StudyID": str(study), "ImageID": f"{study}.png", "PreviousImageID": None, "findings": sentences})
        rows.append({"StudyID": study, "ImageID": f"{study}.png", "PatientID": study, "split": part})
        png(root / f"Padchest_GR_files/{study}.png", bits=16)
    write(root / "grounded_reports_20240819.json", json.dumps(reports))
    table(root / "master_table.csv", rows)


def run(*arguments):
    print("$ addendum", *arguments, flush=True)
    subprocess.run([PROGRAM, *map(str, arguments)], check=True)


def main():
    layouts = [mimic_cxr, iu_xray, chexpert_plus, rexgradient, padchest_gr]
    short = ["policy.dtype=f32", "policy.device=cpu", "policy.pixels={min=12544,max=12544}", "run.steps=2", "run.batch_groups=1", "run.group_size=4"]
    short += ["lora.rank=4", "sampling.max_new_tokens=24", "evaluation.studies=2", "learner.schedule.warmup_steps=0"]
    with tempfile.TemporaryDirectory() as folder:
        for layout in layouts:
            name = layout.__name__.replace("_", "-")
            source, data, out = (pathlib.Path(folder) / part / name for part in ("source", "data", "run"))
            layout(source)
            config = POLICY.parents[2] / f"configs/{name}.toml"
            config = config if config.exists() else POLICY.parents[2] / "configs/mimic-cxr.toml"
            run("data", f"from-{name}", source, "--out", data)
            sets = [f"--set={key}" for key in [f"data.folder={data}", f"policy.path={POLICY}", *short]]
            run("train", "--config", config, *sets, "--out", out)
            run("eval", "--policy", POLICY, "--adapter", out / "adapter", "--data", data, "--max-new-tokens", 24)


if __name__ == "__main__":
    main()
