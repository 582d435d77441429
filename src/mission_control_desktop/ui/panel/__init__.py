"""The live panel of one session: header, transcript, approvals, barge-in input, and the presenter that acts."""
