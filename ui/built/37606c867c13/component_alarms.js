export { default } from "genba-ui/alarms.js";
