//! An experiment as a file: arms, seeds, grids and levels, run as far as they are not done yet, and summed up.
//!
//! A [`Study`] is what the file says. Its [`Plan`] is the list of jobs that this means, each under a name made of all
//! that decides about its result. An [`Execution`] does the jobs that are not done. A [`Summary`] reads their files.
//!
//! ```no_run
//! use addendum::study::{Execution, Plan, Study, Summary};
//!
//! let plan = Plan::new(Study::read("configs/studies/comparison.toml".as_ref())?)?;
//! let execution = Execution::new("runs/studies/comparison");
//! let choice = execution.run(&plan)?;
//! print!("{}", Summary::new(&plan, &choice, &execution.out)?.text());
//! # anyhow::Ok(())
//! ```

mod curves;
mod execution;
mod file;
mod job;
mod pages;
mod place;
mod plan;
mod results;
mod samples;
mod subject;
mod summary;
mod supervision;
mod tables;
mod teachings;
mod work;

pub use execution::{Execution, choose, missing};
pub use file::{Arm, Budget, Choose, Level, Method, Study, Tests};
pub use job::{Done, Job};
pub use plan::{Choice, Plan};
pub use results::{Curve, Finding};
pub use summary::{ArmScores, ArmSummary, Difference, LevelSummary, PointSummary, Summary, TestSummary};
pub use work::Load;
