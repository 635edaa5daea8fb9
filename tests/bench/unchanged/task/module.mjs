// A module of the language.
export const handler = async (event) => ({ done: event.number });
