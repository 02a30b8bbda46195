//! KVM: whether it works here ([`probe`]), the guest's processor ([`vcpu`]), its saved registers ([`state`]), and the
//! signals that interrupt it ([`signal`]).

pub(crate) mod probe;
pub(crate) mod signal;
pub(crate) mod state;
pub(crate) mod vcpu;
