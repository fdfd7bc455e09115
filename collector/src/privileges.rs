//! Giving up what is not needed once the interfaces are open.
//!
//! Threads made later inherit this; those there are keep what they have. So it is
//! called before any other is made.

use std::{io, os::unix::fs::DirBuilderExt as _, path::Path};

use caps::{CapSet, CapsHashSet};
use iotq_proto::error::Chain;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use nix::sys::prctl::set_no_new_privs;
use tracing::{info, warn};

/// Gives up all capabilities and the way to get new ones; from then on files can be
/// written below the spool's folder only, and nothing can be executed.
///
/// What the kernel does not know is left out: the log says what was applied. Returns how
/// many of the three could not be given up.
pub fn give_up(spool: Option<&Path>) -> u32 {
    // Without it Landlock is for root only.
    let no_new_privileges = told("no_new_privs", &set_no_new_privs().map_err(io::Error::from));
    let capabilities = told("capabilities", &drop_capabilities());
    let mut kept = u32::from(!no_new_privileges) + u32::from(!capabilities);
    let landlock = match restrict_files(spool) {
        Ok(RulesetStatus::FullyEnforced) => "yes",
        Ok(RulesetStatus::PartiallyEnforced) => "in part: the kernel is older",
        Ok(RulesetStatus::NotEnforced) => "no: this kernel has none",
        Err(error) => {
            warn!(error = %Chain(&error), "Landlock not applied");
            kept += 1;
            "no"
        }
    };
    info!(no_new_privileges, no_capabilities = capabilities, landlock, "privileges dropped");
    kept
}

fn told<E: std::error::Error + 'static>(what: &str, result: &Result<(), E>) -> bool {
    if let Err(error) = result {
        warn!(what, error = %Chain(error), "privileges not dropped");
    }
    result.is_ok()
}

fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    // The bounding set can be cut only by who may: nothing new can be got without it either.
    if caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SETPCAP)? {
        for capability in caps::all() {
            // Those that this kernel does not have are errors, and gone.
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
    let none = CapsHashSet::new();
    // An older kernel has no such set.
    let _ = caps::clear(None, CapSet::Ambient);
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::set(None, set, &none)?;
    }
    Ok(())
}

fn restrict_files(spool: Option<&Path>) -> Result<RulesetStatus, RulesetError> {
    let reading = AccessFs::from_read(KNOWN) & !AccessFs::Execute;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?;
    let mut ruleset = allow(ruleset, Path::new("/"), reading)?;
    // The folder's parent: if somebody removes the folder, it is made again.
    if let Some(spool) = spool {
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(spool);
        let parent = spool.parent().filter(|parent| *parent != Path::new("/") && !parent.as_os_str().is_empty());
        ruleset = allow(ruleset, parent.unwrap_or(spool), AccessFs::from_all(KNOWN) & !AccessFs::Execute)?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// A folder that is not there can be neither read nor written.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(folder) => ruleset.add_rule(PathBeneath::new(folder, access)),
        Err(_) => Ok(ruleset),
    }
}

/// Linux 6.2: what we rely on; newer kinds of access are not ours to use.
const KNOWN: ABI = ABI::V3;
