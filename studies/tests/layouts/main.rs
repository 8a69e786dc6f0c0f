//! Public layouts, each as a small invented folder with the oddities of the real one, converted and read back.

mod source;

mod chexpert_plus;
mod common;
mod iu_xray;
mod mimic_cxr;
mod padchest_gr;
mod rexgradient;
