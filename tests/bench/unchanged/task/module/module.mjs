// A handler in an ES module.
export const handler = async (event) => ({ done: event.number });
