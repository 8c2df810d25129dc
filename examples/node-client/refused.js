/** Why an attempt ends: a reason code of the wire, and words. */
export class Refused extends Error {
  constructor(reason, detail) {
    super(detail);
    this.reason = reason;
  }
}
