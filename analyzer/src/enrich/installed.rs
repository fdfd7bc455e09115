//! The tables and lists that are there: those the user imported, else those that
//! `make data` fetched. None has to be.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    networks::{self, ImportError, Kind, Networks, Table},
    owners::{self, List, Owners, OwnersError},
};

/// Where tables and lists are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// What the user imported, below the data directory.
    pub imported: Option<PathBuf>,
    /// What `make data` fetched, in the cache.
    pub fetched: Option<PathBuf>,
}

/// Everything that is loaded.
#[derive(Debug, Default)]
pub struct Enrichment {
    /// Whose networks addresses are in, and where.
    pub networks: Networks,
    /// Whose names are.
    pub owners: Owners,
}

/// Why a table or list that is there is not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A table of networks.
    #[error(transparent)]
    Table(#[from] ImportError),
    /// A list of owners.
    #[error(transparent)]
    List(#[from] OwnersError),
    /// The folder with the lists.
    #[error("folder {path} not read")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Places {
    /// Where the user's table is kept.
    #[must_use]
    pub fn imported_table(&self, kind: Kind) -> Option<PathBuf> {
        self.imported.as_ref().map(|folder| folder.join(format!("{}.csv.zst", kind.label())))
    }

    /// Where the user's lists are kept.
    #[must_use]
    pub fn lists(&self) -> Option<PathBuf> {
        self.imported.as_ref().map(|folder| folder.join("owners"))
    }

    /// The table that is used: the user's, else the fetched one, if there is one.
    #[must_use]
    pub fn table(&self, kind: Kind) -> Option<PathBuf> {
        let fetched = self.fetched.as_ref().map(|folder| folder.join(format!("{}.csv.gz", kind.label())));
        [self.imported_table(kind), fetched].into_iter().flatten().find(|path| path.is_file())
    }
}

impl Enrichment {
    /// Loads all that is there. What is damaged is left out and said.
    #[must_use]
    pub fn load(places: &Places) -> (Self, Vec<LoadError>) {
        let mut errors = Vec::new();
        let mut table = |kind| match places.table(kind).map(|path| networks::read(&path, kind)) {
            Some(Ok(table)) => Some(table),
            Some(Err(error)) => {
                errors.push(error.into());
                None
            }
            None => None,
        };
        let networks = Networks::new(table(Kind::Asn), table(Kind::Country));
        let mut lists = Vec::new();
        match places.lists().map_or(Ok(Vec::new()), |folder| files(&folder)) {
            Ok(paths) => {
                for path in paths {
                    match owners::read(&path, &owners::list_name(&path)) {
                        Ok(list) => lists.push(list),
                        Err(error) => errors.push(error.into()),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
        (Self { networks, owners: Owners::with(lists) }, errors)
    }

    /// The tables that are loaded.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.networks.asn().into_iter().chain(self.networks.country())
    }

    /// The lists that are loaded, the one that goes first first.
    pub fn lists(&self) -> impl Iterator<Item = &List> {
        self.owners.lists()
    }
}

/// What is loaded now; it can be exchanged while questions are answered.
#[derive(Clone, Default)]
pub struct SharedEnrichment(Arc<RwLock<Arc<Enrichment>>>);

impl SharedEnrichment {
    /// As of now: an answer keeps to one.
    #[must_use]
    pub fn current(&self) -> Arc<Enrichment> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes another one; answers from now on have it.
    pub fn replace(&self, enrichment: Enrichment) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(enrichment);
    }
}

impl fmt::Debug for SharedEnrichment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedEnrichment").finish_non_exhaustive()
    }
}

/// The lists in a folder in the order of their names; a folder that is not there has none.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Folder { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.truncate(MAX_LISTS);
    Ok(paths)
}

/// Each takes memory, and time at each question.
const MAX_LISTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_to_be_there() {
        let (enrichment, errors) = Enrichment::load(&Places::default());
        assert!(errors.is_empty());
        assert_eq!(enrichment.tables().count(), 0);
        assert_eq!(enrichment.networks.lookup("1.1.1.1".parse().unwrap()), None);
        let places = Places { imported: Some("/nonexistent/a".into()), fetched: Some("/nonexistent/b".into()) };
        assert!(Enrichment::load(&places).1.is_empty());
    }

    #[test]
    fn the_users_table_goes_before_the_fetched_one_and_damage_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let places =
            Places { imported: Some(folder.path().join("enrich")), fetched: Some(folder.path().join("cache")) };
        fs::create_dir_all(folder.path().join("enrich/owners")).unwrap();
        fs::create_dir_all(folder.path().join("cache")).unwrap();
        fs::write(folder.path().join("cache/asn.csv.gz"), "1.0.0.0,1.0.0.255,64496,Fetched\n").unwrap();
        fs::write(folder.path().join("cache/country.csv.gz"), "1.0.0.0,1.0.0.255,AU\n").unwrap();
        let name = |places| {
            let (enrichment, errors) = Enrichment::load(places);
            let found = enrichment.networks.lookup("1.0.0.1".parse().unwrap()).unwrap();
            (found.as_name.to_owned(), found.country.map(str::to_owned), errors.len())
        };
        assert_eq!(name(&places), ("Fetched".into(), Some("AU".into()), 0));
        fs::write(folder.path().join("enrich/asn.csv.zst"), "1.0.0.0,1.0.0.255,64497,Imported\n").unwrap();
        assert_eq!(name(&places), ("Imported".into(), Some("AU".into()), 0));
        fs::write(folder.path().join("enrich/asn.csv.zst"), "1.0.0.0,1.0.0").unwrap();
        fs::write(folder.path().join("enrich/owners/a.tsv"), "{").unwrap();
        fs::write(folder.path().join("enrich/owners/b.tsv"), "example.com\tExample\tiot\n").unwrap();
        assert_eq!(name(&places), (String::new(), Some("AU".into()), 2));
        let (enrichment, _) = Enrichment::load(&places);
        assert_eq!(enrichment.owners.find("a.example.com").unwrap().source, "b");
    }
}
