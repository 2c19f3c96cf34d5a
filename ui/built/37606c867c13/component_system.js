export { default } from "genba-ui/system.js";
