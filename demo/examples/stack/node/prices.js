// Says what an item costs: {"item": 7}. The layer makes the invocation's span, what is logged becomes log records.
exports.handler = async (event) => {
  console.log(`asked for item ${event.item}`);
  if (event.item < 0) throw new RangeError(`there is no item ${event.item}`);
  return { item: event.item, price: 100 + event.item };
};
