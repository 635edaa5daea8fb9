// A handler without imports.
exports.handler = async (event) => ({ done: event.number });
