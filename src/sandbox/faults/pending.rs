//! The faults that are still to come.

use parking_lot::Mutex;

use super::fault::Fault;
use crate::sandbox::operation::SandboxOperation;

/// In the order in which they were set.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct PendingFaults(Mutex<Vec<Fault>>);

impl PendingFaults {
    pub(in crate::sandbox) fn add(&self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.lock().push(fault);
        }
    }

    /// The fault for this call of `operation`, spent if its calls are numbered.
    pub(in crate::sandbox) fn take(&self, operation: SandboxOperation) -> Option<Fault> {
        let mut faults = self.0.lock();
        let index = faults.iter().position(|fault| fault.at == operation)?;
        match &mut faults[index].times {
            Some(1) => Some(faults.remove(index)),
            times => {
                *times = times.map(|left| left - 1);
                Some(faults[index].clone())
            }
        }
    }

    pub(in crate::sandbox) fn all(&self) -> Vec<Fault> {
        self.0.lock().clone()
    }

    pub(in crate::sandbox) fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_are_spent_in_order_and_others_stay() {
        let faults = PendingFaults::default();
        faults.add(Fault::at(SandboxOperation::Upload).times(2).close());
        faults.add(Fault::at(SandboxOperation::Upload).stall());
        assert!(faults.take(SandboxOperation::Token).is_none());
        let taken: Vec<bool> = (0..4)
            .map(|_| faults.take(SandboxOperation::Upload).unwrap().stall)
            .collect();
        assert_eq!(taken, [false, false, true, true]);
        assert_eq!(faults.all().len(), 1);
    }
}
