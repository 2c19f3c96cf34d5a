export { default } from './Flows.vue';
