export { default } from "genba-ui/flows.js";
