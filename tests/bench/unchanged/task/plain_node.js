// Loads nothing.
exports.handler = async (event) => ({ done: event.number });
