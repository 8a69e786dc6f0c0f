//! The one instance of an asynchronous stage, which all of its workers await.

use std::{pin::Pin, sync::Arc};

use addendum_replay::RolloutGroup;
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{
    AsyncStage, StageError,
    compute::{Failure, guarded},
};

type Work<'a> = Pin<Box<dyn Future<Output = Result<(), StageError>> + Send + 'a>>;

/// An [`AsyncStage`] of whatever type.
pub(crate) trait Await: Send + Sync {
    fn process<'a>(&'a self, group: &'a mut RolloutGroup) -> Work<'a>;
}

impl<T: AsyncStage> Await for T {
    fn process<'a>(&'a self, group: &'a mut RolloutGroup) -> Work<'a> {
        Box::pin(AsyncStage::process(self, group))
    }
}

/// Builds the instance.
pub(crate) type BuildAsync = Arc<dyn Fn() -> Result<Arc<dyn Await>, StageError> + Send + Sync>;

pub(crate) struct Shared {
    build: BuildAsync,
    instance: Mutex<Option<Arc<dyn Await>>>,
}

impl Shared {
    pub fn new(build: BuildAsync) -> Self {
        Self { build, instance: Mutex::default() }
    }

    /// The instance; built now if there is none.
    pub async fn get(&self) -> Result<Arc<dyn Await>, Failure> {
        let mut instance = self.instance.lock().await;
        if let Some(instance) = &*instance {
            return Ok(instance.clone());
        }
        let build = self.build.clone();
        let built = spawn_blocking(move || guarded(|| build())).await;
        let built = built.map_err(|error| Failure::Crashed(error.to_string()))??;
        Ok(instance.insert(built).clone())
    }

    /// Has another one built in the place of `broken`.
    pub async fn replace(&self, broken: &Arc<dyn Await>) {
        let mut instance = self.instance.lock().await;
        instance.take_if(|instance| Arc::ptr_eq(instance, broken));
    }
}
