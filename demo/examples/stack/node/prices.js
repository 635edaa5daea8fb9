// Returns the price of an item: {"item": 7}. The layer creates the invocation's span, and log lines become log records.
exports.handler = async (event) => {
  console.log(`asked for item ${event.item}`);
  if (event.item < 0) throw new RangeError(`there is no item ${event.item}`);
  return { item: event.item, price: 100 + event.item };
};
