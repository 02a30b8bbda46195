//! Software that goes into images: Debian's packages, their roots and their files' owners.
//!
//! * [`apt`]: Debian's own tools, which all of it goes through. [`cache`]: where it lies on this machine. [`inputs`]:
//!   what one build took.
//! * [`deb`]: single packages, fetched and unpacked into the cache. [`debroot`]: packages with all that they depend
//!   on, as one root. [`dpkg`]: the database of a root: what an image takes of a package. [`ownership`]: which package
//!   a file belongs to, and which others that one may rely on; [`files`]: what a package has; [`diversions`]: which
//!   of that lies elsewhere.
//! * [`setup`]: what only an installation makes, read off scripts that are never run. [`owners`]: whose files they are.
//!
//! State: the cache's folder on disk, of which each part appears whole or not at all; and the list of a build's
//! inputs, owned by the build.

pub mod apt;
pub mod cache;
pub mod deb;
pub mod debroot;
pub mod diversions;
pub mod dpkg;
pub mod files;
pub mod inputs;
pub mod owners;
pub mod ownership;
pub mod setup;
