//! The paths.

/// A path that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Predict,
    Analyze,
    Health,
    Metrics,
    Openapi,
}

impl Route {
    pub const ALL: [Self; 5] = [Self::Predict, Self::Analyze, Self::Health, Self::Metrics, Self::Openapi];

    pub const fn path(self) -> &'static str {
        match self {
            Self::Predict => "/predict",
            Self::Analyze => "/analyze",
            Self::Health => "/health",
            Self::Metrics => "/metrics",
            Self::Openapi => "/openapi.json",
        }
    }

    /// As its requests are counted.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Analyze => "analyze",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Openapi => "openapi",
        }
    }

    /// Whether anybody is answered, without a token.
    pub const fn open(self) -> bool {
        matches!(self, Self::Health)
    }

    /// That of a path.
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path() == path)
    }
}
